"""What every Runtime streams: commands, logs, events."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from runtime import (
    ContainerNotFoundError,
    ExecFailedError,
    ExecStream,
    Stream,
)
from tests.contract.conftest import EXITS_WITH_3, MISSING, PATIENCE_SECONDS, Subject

pytestmark = pytest.mark.contract


def test_a_streamed_command_reads_its_stdin(subject: Subject) -> None:
    container = subject.start()

    with subject.runtime.exec_stream(container, ("cat",), stdin=[b"one\n", b"two\n"]) as stream:
        assert isinstance(stream, ExecStream)
        with pytest.raises(ExecFailedError, match="not read to the end"):
            _ = stream.exit_code
        said = b"".join(chunk.data for chunk in stream)

    assert said == b"one\ntwo\n"
    assert stream.exit_code == 0


def test_a_streamed_command_that_fails(subject: Subject) -> None:
    container = subject.start()

    stream = subject.runtime.exec_stream(container, EXITS_WITH_3)

    assert [(chunk.stream, chunk.data) for chunk in stream] == [("stdout", b"out\n")]
    assert stream.exit_code == 3
    with pytest.raises(ContainerNotFoundError):
        subject.runtime.exec_stream("nobody", ("true",))
    with pytest.raises(ExecFailedError, match="nosuch"):
        list(subject.runtime.exec_stream(container, MISSING))


def ended_by_another_thread(stream: Stream[Any]) -> list[Any]:
    """Read a stream to its end, which another thread brings about once this one waits."""
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    reader.join(timeout=0.3)
    assert reader.is_alive()
    stream.close()
    reader.join(timeout=PATIENCE_SECONDS)
    assert not reader.is_alive()
    return found


def test_a_followed_log_ends_when_it_is_closed(subject: Subject) -> None:
    container = subject.start()

    found = ended_by_another_thread(subject.runtime.logs(container, follow=True))

    assert b"".join(found) == b"started\n"


def test_a_followed_log_ends_with_its_container(subject: Subject) -> None:
    container = subject.start()

    with subject.runtime.logs(container, follow=True) as log:
        assert next(log) == b"started\n"
        subject.runtime.stop(container, timeout_seconds=0)
        assert list(log) == []


def test_the_log_of_nobody(subject: Subject) -> None:
    with pytest.raises(ContainerNotFoundError):
        subject.runtime.logs("nobody")


def test_events_are_seen_as_they_happen(subject: Subject) -> None:
    other = subject.create()
    with subject.runtime.events(labels={"watched": "yes"}) as events:
        container = subject.start(name="watched", labels={"watched": "yes"})
        subject.runtime.start(other)
        seen = [next(events)]
        while seen[-1].action != "start":
            seen.append(next(events))

    assert {event.id for event in seen} == {container}
    assert {(event.kind, event.name) for event in seen} == {("container", "watched")}
    assert list(events) == []


def test_events_end_when_they_are_closed(subject: Subject) -> None:
    assert ended_by_another_thread(subject.runtime.events(labels={"watched": "never"})) == []


def test_past_events_can_be_asked_for(subject: Subject) -> None:
    begin = datetime.now(UTC)
    container = subject.create(labels={"past": "yes"})

    with subject.runtime.events(labels={"past": "yes"}, since=begin) as events:
        assert next(events).id == container
