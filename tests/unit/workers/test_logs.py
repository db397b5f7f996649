"""Every line of a step tells its workflow, is kept for ``podferry logs``, and has no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import structlog
from fakeredis import FakeRedis
from pydantic import SecretStr
from redis.exceptions import ConnectionError

from storage import UNENCRYPTED, ArchiveStore, MemoryObjectStore
from storage.streams import ordered_map, worker_pool
from tasks.context import Context
from tasks.errors import StepFailedError
from tasks.lines import Lines, LogLine
from tasks.models import Kind, Unit, Workflow, new_workflow, now
from tasks.plans import planned
from tasks.records import Records
from tasks.step import Result, Step, run_step
from tasks.units.parallel import in_parallel
from workers.logs import HIDDEN, PAUSE_SECONDS, Hide, Keep, configure_logging, secrets_of
from workers.settings import Settings

PASSWORD = "pa55/word"
Written = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


@pytest.fixture
def lines(redis: FakeRedis) -> Lines:
    return Lines(redis, keep=timedelta(hours=1))


@pytest.fixture
def written(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Logging as a worker of host a has it; gives what was written since."""
    output = StringIO()
    monkeypatch.setattr("sys.stderr", output)
    root = logging.getLogger()
    level = root.level
    root.handlers.clear()  # pytest's own, which it puts back itself, would be closed
    configure_logging("info", Hide({PASSWORD}), Keep(lines, "a"))
    (ours,) = root.handlers

    def read() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in output.getvalue().splitlines()]
        output.seek(0)
        output.truncate()
        return found

    yield read
    structlog.reset_defaults()
    root.removeHandler(ours)
    root.setLevel(level)


@pytest.fixture
def context(redis: FakeRedis) -> Context:
    archives = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
    return Context(records=Records(redis), archives=archives)


@pytest.fixture
def workflow(context: Context) -> Workflow:
    made = planned(new_workflow(Kind.UP, "web", target="a"), ((Unit.UP, "a"),))
    context.records.create(made)
    return made


def say(word: str) -> None:
    logging.getLogger("some.library").warning("it says %s", word)


def test_every_line_of_a_step_tells_its_workflow(
    context: Context, workflow: Workflow, lines: Lines, written: Written
) -> None:
    def unit(step: Step) -> Result:
        step.log("a line for its log")
        say("so itself")
        in_parallel(["one", "two"], say)
        with worker_pool(2, "test") as pool:
            list(ordered_map(pool, say, ["three"], ahead=1))
        return {"bytes": 7}

    say("nothing of a step")
    run_step(context, workflow.id, 0, 1, unit)
    before, *of_step, ended = written()
    assert "workflow" not in before
    about = {"workflow": workflow.id, "unit": "up", "host": "a"}
    for line in of_step:
        assert {**line, **about} == line
    first, *between, last = (line["event"] for line in of_step)
    assert (first, last) == ("step begun", "step done")
    words = ("so itself", "one", "two", "three")
    assert sorted(between) == sorted(["a line for its log", *(f"it says {w}" for w in words)])
    assert (ended["event"], ended["outcome"]) == ("workflow ended", "started")
    kept = lines.sorted(workflow.id)
    assert [line.message for line in kept] == [line["event"] for line in (*of_step, ended)]
    assert {(line.host, line.unit) for line in kept[:-1]} == {("a", "up")}
    done = kept[-2]
    assert done.fields["moved_bytes"] == 7
    say("nothing of it any more")
    assert "workflow" not in written()[0]


def test_the_reason_of_a_failure_is_logged_and_no_secret(
    context: Context, workflow: Workflow, lines: Lines, written: Written
) -> None:
    def unit(_: Step) -> Result:
        raise OSError(f"cannot log in with {PASSWORD} at redis://me:other@hub:6379/0")

    with pytest.raises(StepFailedError):
        run_step(context, workflow.id, 0, 1, unit)
    failed = next(line for line in written() if line["event"] == "step failed")
    assert (failed["error"], failed["level"]) == ("OSError", "error")
    assert failed["reason"] == f"cannot log in with {HIDDEN} at redis://{HIDDEN}@hub:6379/0"
    assert PASSWORD not in "".join(line.model_dump_json() for line in lines.sorted(workflow.id))


def test_secrets_are_hidden_wherever_they_are(written: Written) -> None:
    log = structlog.get_logger()
    nested = {"list": [PASSWORD, 1], "db_password": "any", "seconds": 1.5}
    log.info(f"event {PASSWORD}", nested=nested, token="of any form", other=SecretStr(PASSWORD))
    try:
        raise ValueError(PASSWORD)
    except ValueError:
        log.exception("failed")
    first, second = written()
    assert first["event"] == f"event {HIDDEN}"
    assert first["nested"] == {"list": [HIDDEN, 1], "db_password": HIDDEN, "seconds": 1.5}
    assert first["token"] == HIDDEN
    assert PASSWORD not in json.dumps([first, second])
    assert "ValueError" in second["exception"]


def test_what_a_container_says_forges_no_line(written: Written) -> None:
    said = 'no\n{"event": "step done", "level": "info"}\x1b[2K\r'
    structlog.get_logger().error("step failed", reason=said)
    (line,) = written()
    assert (line["event"], line["reason"]) == ("step failed", said)


def test_the_secrets_of_settings() -> None:
    settings = Settings(
        redis_url="redis://me:p%40ss@hub/0",
        store_url="s3://bucket",
        store_secret_key=SecretStr("s3cret"),
    )
    assert secrets_of(settings) == {"p%40ss", "p@ss", "s3cret"}


def test_of_nested_secrets_the_longer_one_is_hidden() -> None:
    hide = Hide({"abc", "abcdef"})
    assert hide(None, "", {"event": "abcdef abc"})["event"] == f"{HIDDEN} {HIDDEN}"
    assert Hide(set())(None, "", {"event": "abc"})["event"] == "abc"


def test_the_level_is_the_one_that_was_asked_for(written: Written) -> None:
    logging.getLogger("some.library").debug("not told")
    assert written() == []


def test_redis_that_is_away_holds_nobody_up(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def away(workflow: str, _: LogLine) -> None:
        asked.append(workflow)
        raise ConnectionError

    moments = iter([100.0, 100.0, 101.0, 100.0 + PAUSE_SECONDS, 200.0])
    monkeypatch.setattr("workers.logs.time.monotonic", lambda: next(moments))
    monkeypatch.setattr(lines, "add", away)
    keep = Keep(lines, "a")
    line = {"workflow": "w", "event": "it", "level": "info", "timestamp": now().isoformat()}
    for _ in range(3):
        assert keep(None, "", line) == line
    assert asked == ["w", "w"]  # in between it did not even try


def test_of_many_lines_the_newest_are_kept(
    lines: Lines, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.lines.LINES_MAX", 100)
    for number in range(300):
        lines.add("w", LogLine(time=now(), level="info", message=str(number)))
    kept = lines.sorted("w")
    assert 100 <= len(kept) < 300
    assert kept[-1].message == "299"
    assert 0 < redis.ttl("podferry:lines:w") <= 3600


def test_a_follower_hears_the_last_line(lines: Lines) -> None:
    def line(message: str, seconds: int) -> LogLine:
        moment = now() + timedelta(seconds=seconds)
        return LogLine(time=moment, level="info", message=message)

    lines.add("w", line("first", 2))
    looks = iter([False, True])

    def ended() -> bool:
        over = next(looks)
        lines.add("w", line("last" if over else "second", 0))
        return over

    assert [one.message for one in lines.follow("w", ended)] == ["first", "second", "last"]
    assert [one.message for one in lines.sorted("w")] == ["second", "last", "first"]
