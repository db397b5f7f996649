"""Each change of a record is counted once, with the change."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from tasks import tallies
from tasks.context import Context
from tasks.downtime import downtime
from tasks.drains.models import DrainResult, new_drain
from tasks.drains.records import Drains
from tasks.models import Kind, Outcome, State, StepError, StepState, Unit, new_workflow, now
from tasks.plans import planned
from tasks.records import Records
from tests.unit.tasks.world import World


def test_a_move_is_counted_with_its_steps_bytes_and_downtime(
    context: Context, redis: FakeRedis
) -> None:
    world = World(context)
    world.start_web()
    moved = world.migrate()
    assert moved.outcome is Outcome.MOVED
    counted = tallies.read(redis)
    assert counted[tallies.WORKFLOWS] == {("migrate", "moved"): 1}
    sums = {labels for labels in counted[tallies.STEPS] if len(labels) == 2}
    assert sums == {(step.unit, "done") for step in moved.steps}
    sent = moved.done(Unit.CHECKPOINT)
    assert sent is not None
    assert counted[tallies.BYTES]["checkpoint", "a"] == sent.result["bytes"]
    times = downtime(moved)
    assert times is not None
    assert times[1] is not None
    seconds = (times[1] - times[0]).total_seconds()
    assert counted[tallies.DOWNTIME]["moved",] == pytest.approx(seconds)
    assert counted[tallies.FAILURES] == counted[tallies.LEASES] == counted[tallies.FALLBACKS] == {}


def test_a_repeated_change_is_counted_once(records: Records, redis: FakeRedis) -> None:
    made = planned(new_workflow(Kind.UP, "web", target="a"), ((Unit.UP, "a"),))
    records.create(made)
    failed = made.steps[0].failed(StepError(type="LeaseLostError", message="gone"))
    for _ in range(3):
        records.update(made.id, lambda w: w.with_step(0, failed))
    counted = tallies.read(redis)
    assert counted[tallies.FAILURES] == {("up", "a", "LeaseLostError"): 1}
    assert counted[tallies.LEASES] == {("a",): 1}
    assert counted[tallies.STEPS] == {}  # nobody had taken it: it took no time


def test_a_new_plan_is_a_fallback_and_the_first_one_is_none(
    records: Records, redis: FakeRedis
) -> None:
    made = new_workflow(Kind.UP, "web", target="a")
    records.create(made)
    for _ in range(2):
        records.update(made.id, lambda w: planned(w, ((Unit.UP, "a"),)))
    assert tallies.read(redis)[tallies.FALLBACKS] == {("up",): 1}


def test_a_drain_is_counted_when_it_ends(redis: FakeRedis) -> None:
    drains = Drains(redis)
    drain = new_drain("a")
    drains.create(drain)
    ended = {"state": State.ENDED, "result": DrainResult.INCOMPLETE, "ended": now()}
    for _ in range(2):
        drains.update(drain.id, lambda d: d.model_copy(update=ended))
    assert tallies.read(redis)[tallies.DRAINS] == {("away", "incomplete"): 1}


def test_what_another_version_counts_is_left_out(redis: FakeRedis) -> None:
    redis.hset(tallies.KEY, "podferry_of_tomorrow_total a", 3)
    assert not any(tallies.read(redis).values())


def test_every_value_falls_into_one_bucket(redis: FakeRedis) -> None:
    for seconds in (0.1, 0.2, 1e9):
        with redis.pipeline() as pipe:
            count = tallies.Count(tally=tallies.DOWNTIME, labels=("moved",), amount=seconds)
            tallies.add(pipe, iter((count,)))
            pipe.execute()
    found = tallies.read(redis)[tallies.DOWNTIME]
    assert {k: v for k, v in found.items() if len(k) == 2} == {
        ("moved", "0.1"): 1,
        ("moved", "0.25"): 1,
        ("moved", "inf"): 1,
    }


def test_a_count_has_all_labels_of_its_tally() -> None:
    with pytest.raises(ValueError, match="podferry_drains_total"):
        tallies.Count(tally=tallies.DRAINS, labels=("away",))


def test_the_downtime_of_what_failed_goes_on() -> None:
    moment = now()
    made = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    made = planned(made, ((Unit.CHECKPOINT, "a"), (Unit.RESTORE, "b")))
    assert downtime(made) is None
    fields = {"state": StepState.FAILED, "started": moment, "ended": moment}
    taken = made.with_step(0, made.steps[0].model_copy(update=fields))
    assert downtime(taken) is None  # it failed before anything was stopped
    stopped = taken.model_copy(update={"source_stopped": True})
    assert downtime(stopped) == (moment, None)
    back = planned(stopped, ((Unit.RESUME, "a"),))
    later = moment + timedelta(seconds=7)
    done = {"state": StepState.DONE, "started": moment, "ended": later}
    resumed = back.with_step(2, back.steps[2].model_copy(update=done))
    assert downtime(resumed) == (moment, later)
