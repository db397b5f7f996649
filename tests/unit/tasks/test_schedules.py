"""Checkpoints again and again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from tasks import locate
from tasks.locate import Locator
from tasks.models import (
    Increment,
    Inventory,
    Kind,
    Outcome,
    WorkerInfo,
    Workflow,
    WorkloadLine,
    new_workflow,
    now,
)
from tasks.plans import end
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedules import Schedule, Schedules
from workers.schedules import fire_due

EVERY = timedelta(minutes=10)


@dataclass
class Installation:
    redis: FakeRedis
    records: Records

    @property
    def schedules(self) -> Schedules:
        return Schedules(self.redis)

    def begin(self, *, workload: str = "web", due: timedelta = timedelta()) -> Schedule:
        schedule = Schedule(workload=workload, every=EVERY, next=now() - due)
        self.schedules.put(schedule)
        return schedule

    def fire(self) -> list[Workflow]:
        """Let what is due begin; return what is under way."""
        locator = Locator(Registry(self.redis))
        fire_due(self.records, locator, self.schedules, deadline_seconds=60)
        return self.records.live()

    def only(self) -> Schedule:
        [schedule] = self.schedules.all()
        return schedule


@pytest.fixture
def installation(
    redis: FakeRedis, records: Records, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    """Container `web` runs on host a."""
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.05)
    registry = Registry(redis)
    registry.beat(WorkerInfo(id="host.a", host="a", version="1", pid=1))
    line = WorkloadLine(name="web", id="a" * 64, image="web", state="running")
    registry.report(Inventory(host="a", containers=(line,)))
    return Installation(redis, records)


def test_what_is_due_begins_and_the_next_turn_is_ahead(installation: Installation) -> None:
    begun = installation.begin(due=timedelta(seconds=1))
    [workflow] = installation.fire()
    assert (workflow.kind, workflow.workload, workflow.source) == (Kind.CHECKPOINT, "web", "a")
    assert workflow.options.incremental is Increment.AUTO
    assert workflow.checkpoint_id.startswith("web/")
    assert installation.records.rung(wait_seconds=1) == workflow.id
    after = installation.only()
    assert (after.last, after.note, after.next) == (workflow.id, "", begun.next + EVERY)


def test_nothing_begins_before_its_time(installation: Installation) -> None:
    begun = installation.begin(due=timedelta(seconds=-30))
    assert installation.fire() == []
    assert installation.only() == begun


def test_turns_that_were_missed_are_not_made_up_for(installation: Installation) -> None:
    begun = installation.begin(due=3 * EVERY + timedelta(seconds=5))
    assert len(installation.fire()) == 1
    assert installation.only().next == begun.next + 4 * EVERY
    assert len(installation.fire()) == 1


def test_two_control_workers_take_one_turn(installation: Installation) -> None:
    begun = installation.begin()
    assert installation.schedules.take_turn(begun, now()) is not None
    assert installation.schedules.take_turn(begun, now()) is None


def test_a_busy_workload_is_skipped_and_that_is_noted(installation: Installation) -> None:
    begun = installation.begin()
    busy = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    installation.records.create(busy)
    assert installation.fire() == [busy]
    skipped = installation.only()
    assert "skipped at" in skipped.note
    assert busy.id in skipped.note
    assert skipped.next == begun.next + EVERY

    installation.records.update(busy.id, lambda w: end(w, Outcome.MOVED))
    installation.schedules.put(skipped.model_copy(update={"next": now()}))
    [workflow] = installation.fire()
    assert (installation.only().last, installation.only().note) == (workflow.id, "")


def test_a_workload_that_is_nowhere_is_skipped(installation: Installation) -> None:
    installation.begin(workload="db")
    installation.begin()
    assert [workflow.workload for workflow in installation.fire()] == ["web"]
    notes = {schedule.workload: schedule.note for schedule in installation.schedules.all()}
    assert "db" in notes["db"]
    assert notes["web"] == ""


def test_what_was_ended_or_changed_meanwhile_stays_so(installation: Installation) -> None:
    begun = installation.begin()
    other = begun.model_copy(update={"every": 2 * EVERY})
    installation.schedules.put(other)
    installation.schedules.note(begun, note="late")
    assert installation.only() == other
    assert installation.schedules.remove("web")
    assert not installation.schedules.remove("web")
    installation.schedules.note(other, note="late")
    assert installation.schedules.take_turn(other, now()) is None
    assert installation.schedules.all() == []
