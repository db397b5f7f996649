"""Notices from a file or a command, and which sources a setting names."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from workers.notices import local
from workers.notices.clock import parse_moment
from workers.notices.local import CommandSource, FileSource
from workers.notices.models import SourceError
from workers.notices.sources import open_sources, parse_names

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GARBAGE = [
    "soon",
    "{",
    '{"reason": "x"}',
    '{"deadline": true}',
    '{"deadline": NaN}',
    "-5",
    "9" * 30,
]


def notice_file(tmp_path: Path, content: str) -> FileSource:
    path = tmp_path / "reclaim"
    path.write_text(content)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    return FileSource(path)


def program(tmp_path: Path, body: str) -> CommandSource:
    path = tmp_path / "notice"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return CommandSource(str(path), lambda: NOON)


@pytest.mark.parametrize(
    ("content", "deadline", "reason"),
    [
        ("2026-03-01T12:02:00Z\n", NOON + timedelta(minutes=2), ""),
        ("2026-03-01T13:02:00+01:00", NOON + timedelta(minutes=2), ""),
        ("2026-03-01T12:02:00", NOON + timedelta(minutes=2), ""),
        ("90\n", NOON + timedelta(seconds=90), ""),
        ("0.5", NOON + timedelta(seconds=0.5), ""),
        ('{"deadline": 90, "reason": "rack\\npower"}', NOON + timedelta(seconds=90), "rack power"),
        ('{"deadline": "2026-03-01T12:02:00Z"}', NOON + timedelta(minutes=2), ""),
    ],
)
def test_what_a_file_and_a_command_may_say(
    tmp_path: Path, content: str, deadline: datetime, reason: str
) -> None:
    file = notice_file(tmp_path, content)
    command = program(tmp_path, f"cat {tmp_path}/reclaim")
    for source in (file, command):
        [notice] = source.look()
        assert (notice.deadline, notice.reason, notice.source) == (deadline, reason, source.name)
        assert source.look() == [notice]


@pytest.mark.parametrize("content", GARBAGE)
def test_what_they_may_not(tmp_path: Path, content: str) -> None:
    file = notice_file(tmp_path, content)
    command = program(tmp_path, f"cat {tmp_path}/reclaim")
    for source in (file, command):
        with pytest.raises(SourceError):
            source.look()


def test_a_file_that_is_not_there_or_not_written_yet(tmp_path: Path) -> None:
    assert FileSource(tmp_path / "reclaim").look() == []
    assert notice_file(tmp_path, " \n").look() == []


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        FileSource(tmp_path).look()


def test_a_file_written_anew_is_another_event(tmp_path: Path) -> None:
    source = notice_file(tmp_path, "90")
    [first] = source.look()
    os.utime(tmp_path / "reclaim", (NOON.timestamp() + 1, NOON.timestamp() + 1))
    [second] = source.look()
    assert first.id != second.id


@pytest.mark.parametrize("body", ["echo 90; exit 1", "kill -9 $$", "true"])
def test_a_command_that_tells_of_nothing(tmp_path: Path, body: str) -> None:
    assert program(tmp_path, body).look() == []


def test_a_command_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND_SECONDS", 0.05)
    with pytest.raises(SourceError, match="did not end"):
        program(tmp_path, "exec sleep 60").look()


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        CommandSource(str(tmp_path / "nowhere")).look()


def test_seconds_of_a_command_count_from_when_it_first_said_so(tmp_path: Path) -> None:
    source, moments = program(tmp_path, "echo 90"), [NOON, NOON + timedelta(hours=1)]
    source._clock = lambda: moments.pop(0)
    assert source.look() == source.look()
    assert len(moments) == 1


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "Mon, 99 Sep 2016"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(SourceError):
        parse_moment(text)


def test_sources_are_named_with_commas() -> None:
    text = "aws, gcp,azure,file:/run/reclaim,command:/usr/bin/x --now 'a b',aws,"
    names = parse_names(text)
    assert names == (
        *("aws", "gcp", "azure", "file:/run/reclaim"),
        "command:/usr/bin/x --now 'a b'",
    )
    assert tuple(source.name for source in open_sources(names, "http://127.0.0.1")) == names


@pytest.mark.parametrize("text", ["oracle", "file:", "file:run", "command:", "command:/x '", "AWS"])
def test_other_sources_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_names(text)
