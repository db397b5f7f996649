"""What is scheduled begins at its time, once, and is followed to its end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from fakeredis import FakeRedis

from tasks import locate
from tasks.actions import Action, CheckpointAction, DrainAction, Every, RetentionAction
from tasks.drains.models import Drain, DrainResult
from tasks.drains.records import Drains
from tasks.errors import InvalidRequestError, ScheduleNotFoundError
from tasks.models import (
    Increment,
    Inventory,
    Kind,
    Outcome,
    State,
    WorkerInfo,
    Workflow,
    WorkloadLine,
    new_workflow,
    now,
)
from tasks.plans import end
from tasks.queues import CONTROL_QUEUE, RETENTION
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedule import Missed, RunState, Schedule
from tasks.schedules import Schedules
from workers import schedules
from workers.schedules import Scheduling, fire_due

EVERY = timedelta(minutes=10)
SECOND = timedelta(seconds=1)
WEB = CheckpointAction(workload="web")


@dataclass
class Task:
    """What a result backend knows of a task."""

    result: object = None

    def successful(self) -> bool:
        return isinstance(self.result, dict)

    def ready(self) -> bool:
        return self.result is not None


@dataclass
class TaskApp:
    """Remembers the ids of what it was to send."""

    task: Task = field(default_factory=Task)
    sent: list[str] = field(default_factory=list)

    def send_task(self, name: str, *, task_id: str, queue: str, expires: float) -> None:
        assert (name, queue) == (RETENTION, CONTROL_QUEUE)
        self.sent.append(task_id)

    def AsyncResult(self, task_id: str) -> Task:  # noqa: N802 - as Celery names it
        assert task_id in self.sent
        return self.task


@dataclass
class Installation:
    redis: FakeRedis
    records: Records
    app: TaskApp = field(default_factory=TaskApp)

    @property
    def schedules(self) -> Schedules:
        return Schedules(self.redis)

    @property
    def drains(self) -> Drains:
        return Drains(self.redis)

    def begin(
        self,
        action: Action = WEB,
        *,
        name: str = "web",
        due: timedelta = timedelta(),
        missed: Missed = Missed.ONCE,
    ) -> Schedule:
        first = now() - due
        schedule = Schedule(
            name=name,
            action=action,
            times=Every(every=EVERY, since=first),
            next=first,
            missed=missed,
        )
        self.schedules.put(schedule)
        return schedule

    def fire(self) -> list[Workflow]:
        """Let what is due begin, or be looked at; return what is under way."""
        scheduling = Scheduling(
            app=cast("Any", self.app),
            records=self.records,
            registry=Registry(self.redis),
            drains=self.drains,
            deadline_seconds=60,
        )
        for name in [schedule.name for schedule in self.schedules.all()]:
            self.schedules.change(name, _looked_at_now)
        fire_due(scheduling, self.schedules)
        return self.records.live()

    def only(self) -> Schedule:
        [schedule] = self.schedules.all()
        return schedule


def _looked_at_now(schedule: Schedule) -> Schedule:
    """The schedule when the time has come to look at what it began."""
    begun = [run for run in schedule.runs if run.state is RunState.BEGUN and run.look_at]
    for run in begun:
        schedule = schedule.with_run(run.model_copy(update={"look_at": now()}))
    return schedule


@pytest.fixture
def installation(
    redis: FakeRedis, records: Records, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    """Container `web` runs on host a; there is a host b, and a control worker."""
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.05)
    registry = Registry(redis)
    for host in "ab":
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1, control=True))
        registry.report(Inventory(host=host))
    line = WorkloadLine(name="web", id="a" * 64, image="web", state="running")
    registry.report(Inventory(host="a", containers=(line,)))
    return Installation(redis, records)


def test_what_is_due_begins_and_the_next_turn_is_ahead(installation: Installation) -> None:
    begun = installation.begin(due=SECOND)
    [workflow] = installation.fire()
    assert (workflow.kind, workflow.workload, workflow.source) == (Kind.CHECKPOINT, "web", "a")
    assert workflow.options.incremental is Increment.AUTO
    assert workflow.checkpoint_id.startswith("web/")
    assert installation.records.rung(wait_seconds=1) == workflow.id
    after = installation.only()
    [run] = after.runs
    assert (run.id, run.state, after.next) == (workflow.id, RunState.BEGUN, begun.next + EVERY)


def test_the_outcome_is_in_the_history(installation: Installation) -> None:
    installation.begin(due=SECOND)
    [workflow] = installation.fire()
    installation.records.update(workflow.id, lambda w: end(w, Outcome.CHECKPOINTED))
    assert installation.fire() == []
    [run] = installation.only().runs
    assert (run.state, run.outcome) == (RunState.ENDED, "checkpointed")


def test_nothing_begins_before_its_time(installation: Installation) -> None:
    begun = installation.begin(due=-30 * SECOND)
    assert installation.fire() == []
    assert installation.only() == begun


def test_one_run_makes_up_for_all_that_were_missed(installation: Installation) -> None:
    begun = installation.begin(due=3 * EVERY + 5 * SECOND)
    assert len(installation.fire()) == 1
    assert installation.only().next == begun.next + 4 * EVERY
    assert len(installation.fire()) == 1
    assert "missed since" in installation.only().runs[0].note


def test_or_nothing_does(installation: Installation) -> None:
    installation.begin(due=3 * EVERY + timedelta(minutes=2), missed=Missed.SKIP)
    assert installation.fire() == []
    [run] = installation.only().runs
    assert run.state is RunState.MISSED


def test_two_control_workers_take_one_turn(installation: Installation) -> None:
    installation.begin()
    assert installation.schedules.take("web", now()) is not None
    assert installation.schedules.take("web", now()) is None


def test_a_run_of_a_control_worker_that_died_is_begun_by_another(
    installation: Installation,
) -> None:
    installation.begin()
    taken = installation.schedules.take("web", now())
    assert taken is not None
    later = now() + timedelta(minutes=1)
    again = installation.schedules.take("web", later)
    assert again is not None
    assert again[1].id == taken[1].id


def test_a_busy_workload_is_skipped_and_that_is_noted(installation: Installation) -> None:
    begun = installation.begin()
    busy = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    installation.records.create(busy)
    assert installation.fire() == [busy]
    skipped = installation.only()
    [run] = skipped.runs
    assert run.state is RunState.SKIPPED
    assert busy.id in run.note
    assert skipped.next == begun.next + EVERY


def test_a_workload_that_is_nowhere_is_skipped(installation: Installation) -> None:
    installation.begin(CheckpointAction(workload="db"), name="db")
    installation.begin()
    assert [workflow.workload for workflow in installation.fire()] == ["web"]
    notes = {schedule.name: schedule.runs[0].note for schedule in installation.schedules.all()}
    assert "db" in notes["db"]
    assert notes["web"] == ""


def test_what_was_ended_meanwhile_stays_so(installation: Installation) -> None:
    installation.begin()
    taken = installation.schedules.take("web", now())
    assert taken is not None
    installation.schedules.remove("web")
    with pytest.raises(ScheduleNotFoundError):
        installation.schedules.remove("web")
    installation.schedules.tell("web", taken[1], taken[1].over("late"))
    assert installation.schedules.take("web", now()) is None
    assert installation.schedules.all() == []


def test_what_was_begun_already_is_not_begun_twice(installation: Installation) -> None:
    installation.begin()
    [workflow] = installation.fire()
    asked = (
        installation.only().runs[0].model_copy(update={"state": RunState.ASKED, "look_at": now()})
    )
    installation.records.update(workflow.id, lambda w: end(w, Outcome.CHECKPOINTED))
    installation.schedules.change("web", lambda s: s.with_run(asked))
    assert installation.fire() == []
    assert [w.id for w in installation.records.recent()] == [workflow.id]
    assert installation.only().runs[0].state is RunState.BEGUN


@pytest.mark.parametrize(
    ("result", "outcome", "note"),
    [({"removed": []}, "pruned", ""), (OSError("the store is away"), "failed", "store is away")],
)
def test_retention_is_a_task_with_the_id_of_its_run(
    installation: Installation, result: object, outcome: str, note: str
) -> None:
    installation.begin(RetentionAction(), name="prune")
    installation.fire()
    [run] = installation.only().runs
    assert installation.app.sent == [run.id]
    installation.fire()
    assert installation.only().runs[0].state is RunState.BEGUN

    installation.app.task.result = result
    installation.fire()
    [run] = installation.only().runs
    assert (run.outcome, installation.app.sent) == (outcome, [run.id])
    assert note in run.note


def test_a_record_that_cannot_be_read_keeps_no_other_from_its_turn(
    installation: Installation,
) -> None:
    installation.redis.set("podferry:schedule:broken", "{")
    installation.redis.zadd("podferry:schedules:waking", {"broken": 0})
    begun = installation.begin()
    scheduling = Scheduling(
        app=cast("Any", installation.app),
        records=installation.records,
        registry=Registry(installation.redis),
        drains=installation.drains,
        deadline_seconds=60,
    )
    fire_due(scheduling, installation.schedules)
    assert installation.schedules.get("web").next > begun.next
    assert len(installation.records.live()) == 1


def test_of_several_workers_at_once_one_begins_each_run(installation: Installation) -> None:
    for turn in range(20):
        installation.begin(name=f"web-{turn}")
    barrier = threading.Barrier(4)
    taken: list[str] = []

    def worker() -> None:
        barrier.wait()
        for turn in range(20):
            found = installation.schedules.take(f"web-{turn}", now())
            taken.extend([found[0].name] if found else [])

    workers = [threading.Thread(target=worker) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert sorted(taken) == sorted(f"web-{turn}" for turn in range(20))


def test_a_name_is_taken_once(installation: Installation) -> None:
    begun = installation.begin(due=-SECOND)
    with pytest.raises(InvalidRequestError, match="podferry schedule rm web"):
        installation.schedules.add(begun)


def test_what_an_earlier_version_kept_goes_on(installation: Installation) -> None:
    old = (
        '{"workload":"web","host":null,"every":"PT10M","next":"2026-01-01T00:00:00Z",'
        '"last":"checkpoint-x","note":""}'
    )
    installation.redis.hset("podferry:schedules", "web", old)
    installation.schedules.adopt()
    adopted = installation.only()
    assert (adopted.action, adopted.runs[0].id) == (WEB, "checkpoint-x")
    assert len(installation.fire()) == 1
    installation.schedules.adopt()
    assert len(installation.schedules.all()) == 1


def ended(installation: Installation, drain_id: str, result: DrainResult) -> None:
    def change(drain: Drain) -> Drain:
        fields = {"state": State.ENDED, "result": result, "ended": now()}
        return drain.model_copy(update=fields)

    installation.drains.update(drain_id, change)


def test_a_drain_is_begun_once_and_all_goes_home_when_it_is_time(
    installation: Installation,
) -> None:
    action = DrainAction(host="a", deadline=timedelta(hours=1), bring_back_after=timedelta())
    installation.begin(action, name="patch", due=SECOND)
    installation.fire()
    installation.fire()
    [away] = installation.drains.live()
    assert (away.host, away.back, away.deadline is not None) == ("a", False, True)
    ended(installation, away.id, DrainResult.DRAINED)
    installation.fire()
    installation.fire()
    [home] = installation.drains.live()
    assert (home.host, home.back) == ("a", True)
    ended(installation, home.id, DrainResult.DRAINED)
    installation.fire()
    [run] = installation.only().runs
    assert (run.id, run.outcome) == (away.id, "drained, home: drained")


def test_all_stays_away_until_it_is_time(installation: Installation) -> None:
    action = DrainAction(host="a", bring_back_after=timedelta(hours=2))
    installation.begin(action, name="patch", due=SECOND)
    installation.fire()
    [away] = installation.drains.live()
    ended(installation, away.id, DrainResult.INCOMPLETE)
    installation.fire()
    assert installation.drains.live() == []
    [run] = installation.only().runs
    assert run.look_at is not None
    assert run.look_at > now() + timedelta(hours=1)


def test_the_way_back_waits_for_a_host_that_is_starting_up(
    installation: Installation,
) -> None:
    action = DrainAction(host="a", bring_back_after=timedelta())
    installation.begin(action, name="patch", due=SECOND)
    installation.fire()
    [away] = installation.drains.live()
    ended(installation, away.id, DrainResult.DRAINED)
    installation.redis.delete("podferry:alive:host.a")
    installation.fire()
    assert installation.only().runs[0].state is RunState.BEGUN

    worker = WorkerInfo(id="host.a", host="a", version="1", pid=1, control=True)
    Registry(installation.redis).beat(worker)
    installation.fire()
    [home] = installation.drains.live()
    assert home.back


def test_but_not_for_ever(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    action = DrainAction(host="a", bring_back_after=timedelta())
    installation.begin(action, name="patch", due=SECOND)
    installation.fire()
    [away] = installation.drains.live()
    ended(installation, away.id, DrainResult.DRAINED)
    installation.redis.delete("podferry:alive:host.a")
    monkeypatch.setattr(schedules, "HOME_PATIENCE", -SECOND)
    installation.fire()
    [run] = installation.only().runs
    assert (run.state, run.outcome) == (RunState.ENDED, "drained")
    assert "'a' is offline" in run.note


def test_a_drain_of_a_host_that_is_offline_is_skipped(installation: Installation) -> None:
    installation.redis.delete("podferry:alive:host.a")
    installation.begin(DrainAction(host="a"), name="patch", due=SECOND)
    installation.fire()
    [run] = installation.only().runs
    assert run.state is RunState.SKIPPED
    assert "offline" in run.note
