"""What a person sees of workflows' log lines, and their reports. No host is needed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import JsonValue

from podferry import Workflow
from tasks.broker import connect
from tasks.drains.models import new_drain
from tasks.drains.records import Drains
from tasks.lines import Lines, LogLine
from tasks.models import Outcome
from tasks.plans import end
from tasks.records import Records
from tests.acceptance.typing_in import Done, Run, complaint
from tests.services import redis_server
from tests.unit.podferry.histories import NOON, migration

pytestmark = pytest.mark.integration


class Hub:
    """A Redis with records in it."""

    def __init__(self, podferry: Run, url: str) -> None:
        self._type, self._url = podferry, url
        redis = connect(url)
        self.close: Callable[[], None] = redis.close
        self.records = Records(redis)
        self.drains = Drains(redis)
        self.lines = Lines(redis, keep=timedelta(hours=1))

    def run(self, *words: str) -> Done:
        return self._type(*words, PODFERRY_REDIS_URL=self._url)

    def log(self, workflow: Workflow, host: str, seconds: float, message: str) -> None:
        moment = NOON + timedelta(seconds=seconds)
        fields: dict[str, JsonValue] = {"reason": "two words", "bytes": 7, "nothing": None}
        line = LogLine(
            time=moment,
            level="info",
            message=message,
            host=host,
            unit="restore" if host else "",
            fields=fields,
        )
        self.lines.add(workflow.id, line)


@pytest.fixture
def hub(podferry: Run) -> Iterator[Hub]:
    with redis_server() as server:
        made = Hub(podferry, server.url)
        yield made
        made.close()


@pytest.fixture
def workflow(hub: Hub) -> Workflow:
    made = migration()
    hub.records.create(made)
    return made


def test_lines_of_all_hosts_by_time(hub: Hub, workflow: Workflow) -> None:
    hub.log(workflow, "b", 2, "second")
    hub.log(workflow, "a", 1.25, "first\x1b[31m\nof two")
    hub.log(workflow, "", 3, "third")
    done = hub.run("logs", workflow.id)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert ":01.250 a " in first
    assert r"first\x1b[31m\nof two" in first  # a terminal obeys none of it
    assert second.endswith('b        restore    info    second reason="two words" bytes=7')
    assert " control  - " in third
    assert hub.run("logs", workflow.workload).stdout == done.stdout  # its newest
    found = json.loads(hub.run("logs", workflow.id, "-o", "json").stdout)
    assert [line["host"] for line in found] == ["a", "b", ""]
    assert found[0]["message"] == "first\x1b[31m\nof two"


def test_a_workflow_without_lines_has_none_and_an_unknown_one_is_named(
    hub: Hub, workflow: Workflow
) -> None:
    assert hub.run("logs", workflow.id) == Done(0, "", "")
    assert "no workflow 'nonesuch'" in complaint(hub.run("logs", "nonesuch"))


def test_following_ends_with_the_workflow(hub: Hub, workflow: Workflow) -> None:
    hub.log(workflow, "a", 1, "first")

    def go_on() -> None:
        hub.log(workflow, "b", 2, "last")
        hub.records.update(workflow.id, lambda w: end(w, Outcome.MOVED))

    later = threading.Timer(0.3, go_on)
    later.start()
    done = hub.run("logs", workflow.id, "--follow", "-o", "json")
    later.join()
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == ["first", "last"]


def test_a_report_is_written_where_it_is_asked_for(
    hub: Hub, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub.log(workflow, "b", 2, "a line of host b")
    assert hub.run("report", workflow.id).stdout == f"{workflow.id}.html\n"
    text = (tmp_path / f"{workflow.id}.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "a line of host b" in text
    drain = new_drain("a")
    hub.drains.create(drain)
    done = hub.run("report", "--drain", drain.id, "--out", "drain.html")
    assert done.stdout == "drain.html\n"
    assert drain.id in (tmp_path / "drain.html").read_text()


def test_a_report_that_cannot_be_written_says_why(hub: Hub, workflow: Workflow) -> None:
    refused = complaint(hub.run("report", workflow.id, "--out", "/nonexistent/report.html"))
    assert "cannot write '/nonexistent/report.html': No such file or directory" in refused
    assert "no workflow 'nonesuch'" in complaint(hub.run("report", "nonesuch"))
    for words in ((), (workflow.id, "--drain", "a")):
        done = hub.run("report", *words)
        assert done.returncode == 2
        assert "--drain" in done.stderr
