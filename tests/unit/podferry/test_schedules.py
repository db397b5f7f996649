"""podferry schedule, typed; a control worker's part is played by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fakeredis import FakeRedis
from typer.testing import CliRunner

from podferry import (
    CheckpointAction,
    Client,
    Cron,
    DrainAction,
    InvalidRequestError,
    Missed,
    NoControlWorkerError,
    RunState,
    ScheduleNotFoundError,
    Settings,
    UnknownContainerError,
)
from podferry import client as clients
from podferry.cli import common
from podferry.cli.main import app
from tasks import locate
from tasks.models import Inventory, WorkerInfo, WorkloadLine, now
from tasks.registry import Registry
from tasks.schedules import Schedules

SUNDAY = ("--cron", "0 3 * * sun", "--tz", "Europe/Berlin")
TEN = timedelta(minutes=10)


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRedis]:
    """A host a, where web runs, and a control worker."""
    client = FakeRedis(protocol=2)
    monkeypatch.setattr(clients, "connect", lambda _: client)
    monkeypatch.setattr(common, "load_settings", lambda **_: Settings(redis_url="redis://x"))
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    registry = Registry(client)
    registry.beat(WorkerInfo(id="host.a", host="a", version="1", pid=1, control=True))
    line = WorkloadLine(name="web", id="a" * 64, image="web", state="running")
    registry.report(Inventory(host="a", containers=(line,)))
    yield client
    client.close()


@pytest.fixture
def client(redis: FakeRedis) -> Client:
    return Client(Settings(redis_url="redis://x"))


def typed(*words: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def records(*words: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(typed(*words, "-o", "json"))


def test_what_is_typed_is_what_is_kept(client: Client) -> None:
    back = ("--deadline", "90s", "--bring-back-after", "2h", "--on-deadline", "cold")
    drain = ("drain", "a", *back, "--max-parallel", "4")
    when = (*SUNDAY, "--missed", "once", "--jitter", "30s")
    shown = typed("schedule", "add", "patch", *when, *drain)
    assert "0 3 * * sun Europe/Berlin" in shown
    made = client.schedules.show("patch")
    assert made.action == DrainAction.model_validate(
        {
            **{"host": "a", "deadline": 90, "on_deadline": "cold"},
            **{"bring_back_after": 7200, "max_parallel": 4},
        }
    )
    assert made.times == Cron(expression="0 3 * * sun", zone="Europe/Berlin")
    assert (made.missed, made.jitter) == (Missed.ONCE, timedelta(seconds=30))


def test_the_next_five_times_are_shown_in_the_zone_and_the_runs(client: Client) -> None:
    typed("schedule", "add", "nightly", *SUNDAY, "checkpoint", "web")
    run = client.schedules.run_now("nightly")
    shown = typed("schedule", "show", "nightly")
    sundays = [line for line in shown.splitlines() if line.strip().startswith("Sun ")]
    assert [" 03:00:00 +0" in line for line in sundays] == [True] * 5
    assert run.id in shown
    assert "asked" in shown
    record = records("schedule", "show", "nightly")
    assert len(record["upcoming"]) == 5
    assert record["runs"][0]["id"] == run.id


def test_pause_and_resume(client: Client) -> None:
    client.schedules.add("web", CheckpointAction(workload="web"), TEN)
    assert "podferry schedule resume web" in typed("schedule", "pause", "web")
    assert "paused" in typed("schedule", "ls")
    assert records("schedule", "show", "web")["upcoming"] == []
    assert "paused" not in typed("schedule", "resume", "web")
    resumed = client.schedules.show("web")
    assert now() < resumed.next <= now() + TEN


def test_what_was_to_run_while_it_was_paused_does_not(client: Client, redis: FakeRedis) -> None:
    made = client.schedules.add("web", CheckpointAction(workload="web"), TEN)
    past = made.model_copy(update={"paused": True, "next": now() - 3 * TEN})
    Schedules(redis).put(past)
    assert client.schedules.resume("web").next > now()
    assert Schedules(redis).take("web", now()) is None


def test_a_run_out_of_turn_is_there_for_a_control_worker(client: Client, redis: FakeRedis) -> None:
    client.schedules.add("web", CheckpointAction(workload="web"), TEN)
    run_id = typed("schedule", "run-now", "web").strip()
    taken = Schedules(redis).take("web", now())
    assert taken is not None
    assert (taken[1].id, taken[1].state) == (run_id, RunState.ASKED)


def test_a_run_out_of_turn_needs_a_control_worker(client: Client, redis: FakeRedis) -> None:
    client.schedules.add("web", CheckpointAction(workload="web"), TEN)
    redis.delete("podferry:alive:host.a")
    with pytest.raises(NoControlWorkerError):
        client.schedules.run_now("web")
    assert client.schedules.show("web").runs == ()


def test_the_list_has_them_all(client: Client) -> None:
    client.schedules.add("b", CheckpointAction(workload="web"), TEN)
    typed("schedule", "add", "a", "--every", "1h", "retention")
    assert [record["name"] for record in records("schedule", "ls")] == ["a", "b"]
    listed = typed("schedule", "ls").splitlines()
    assert any("retention" in line and "every 1:00:00" in line for line in listed)
    typed("schedule", "rm", "a")
    assert [schedule.name for schedule in client.schedules.ls()] == ["b"]


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("command", ["show", "pause", "resume", "rm", "run-now"])
def test_one_that_is_not_there_is_named(command: str) -> None:
    with pytest.raises(ScheduleNotFoundError, match="podferry schedule ls"):
        typed("schedule", command, "web")


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("x", "retention"), "say when"),
        (("x", "--every", "1h", "--cron", "0 3 * * *", "retention"), "say when"),
        (("x", "--every", "5s", "retention"), "too often"),
        (("x", "--every", "often", "retention"), "--every"),
        (("x", "--every", "1h", "--jitter", "1h", "retention"), "too long"),
        (("a b", "--every", "1h", "retention"), "no name"),
        (("x", "--every", "1h", "dance"), "use: checkpoint WORKLOAD, retention, or drain HOST"),
        (("x", "--every", "1h", "checkpoint"), "use: checkpoint"),
        (("x", "--every", "1h", "drain", "a", "b"), "use: checkpoint"),
        (("x", "--every", "1h", "drain", "a", "--host", "b"), "--host does not go with drain"),
        (("x", "--every", "1h", "retention", "--deadline", "9s"), "--deadline does not go with"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why):
        typed("schedule", "add", *words)


def test_a_workload_that_is_nowhere_is_refused(client: Client) -> None:
    with pytest.raises(UnknownContainerError):
        client.schedules.add("db", CheckpointAction(workload="db"), TEN)
    assert client.schedules.ls() == []


def test_checkpoint_every_is_such_a_schedule(client: Client) -> None:
    made = client.checkpoint_every("web", TEN)
    assert made is not None
    assert (made.name, made.missed) == ("web", Missed.ONCE)
    client.checkpoint_every("web", 2 * TEN)
    [listed] = records("checkpoints", "schedules")
    assert (listed["workload"], listed["last"]) == ("web", "")
    assert "every 0:20:00" in typed("checkpoints", "schedules")
    assert client.checkpoint_every("web", None) is None
    with pytest.raises(InvalidRequestError, match="has no schedule"):
        client.checkpoint_every("web", None)


def test_checkpoint_every_takes_no_other_schedule_s_place(client: Client) -> None:
    typed("schedule", "add", "web", "--every", "1h", "retention")
    for every in (TEN, None):
        with pytest.raises(InvalidRequestError, match="does something else"):
            client.checkpoint_every("web", every)
    assert records("checkpoints", "schedules") == []
    assert len(client.schedules.ls()) == 1
