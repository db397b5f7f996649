"""Workflows that nobody drives any more are driven on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fakeredis import FakeRedis

from tasks import control, workflows
from tasks import reconcile as reconciling
from tasks.context import Context
from tasks.errors import CancelledError
from tasks.models import (
    Kind,
    Options,
    Outcome,
    State,
    StepError,
    StepState,
    Unit,
    WorkerInfo,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import completed, first_plan, planned
from tasks.reconcile import (
    HOME_PATIENCE,
    LOST_AFTER,
    OFFLINE_PATIENCE,
    Decide,
    Due,
    Fail,
    Ring,
    Start,
    answer,
    due,
    reconcile,
)
from tasks.records import BELL, Records
from tasks.registry import Registry

BOTH = frozenset({"a", "b"})
SOON, LATE = LOST_AFTER / 2, LOST_AFTER * 1.1
DESCRIBE, CHECKPOINT, RESTORE, FINISH = 0, 4, 5, 6


def migration(at: int, state: StepState, *, lapsed: bool = False) -> Workflow:
    """A migration whose steps before ``at`` are done, and that one in this state."""
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    workflow = planned(workflow, first_plan(workflow))
    moment = now()
    for index, step in enumerate(workflow.steps[: at + 1]):
        fields: dict[str, Any] = {"state": StepState.DONE, "ended": moment}
        if index == at:
            lease = moment + timedelta(seconds=-1 if lapsed else 60)
            error = StepError(type="X", message="no") if state is StepState.FAILED else None
            running = state is StepState.RUNNING
            fields = {
                "state": state,
                "owner": "someone" if running else "",
                "lease_until": lease if running else None,
                "ended": moment if state is StepState.FAILED else None,
                "error": error,
            }
        workflow = workflow.with_step(index, step.model_copy(update=fields))
    return workflow


def kind(found: Due | None) -> str:
    return type(found).__name__ if found else ""


def test_a_first_message_that_was_lost_is_sent_again() -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    assert due(workflow, BOTH, now() + SOON) is None
    assert due(workflow, BOTH, now() + LATE) == Start()


@pytest.mark.parametrize("at", [DESCRIBE, CHECKPOINT, RESTORE, FINISH])
def test_a_step_whose_worker_died_has_failed(at: int) -> None:
    alive = migration(at, StepState.RUNNING)
    assert due(alive, BOTH, now() + LATE * 100) is None or alive.steps[at].lapsed
    found = due(migration(at, StepState.RUNNING, lapsed=True), BOTH, now())
    assert isinstance(found, Fail)
    assert found.index == at
    assert "no sign of life" in str(found.error)


def test_a_message_that_was_lost_on_the_way_is_sent_again() -> None:
    workflow = migration(RESTORE, StepState.PENDING)
    assert due(workflow, BOTH, now() + SOON) is None
    assert due(workflow, BOTH, now() + LATE) == Ring()


@pytest.mark.parametrize(("at", "patience"), [(RESTORE, OFFLINE_PATIENCE), (FINISH, HOME_PATIENCE)])
def test_a_host_that_is_offline_is_waited_for_with_patience(at: int, patience: timedelta) -> None:
    workflow = migration(at, StepState.PENDING)
    assert due(workflow, frozenset(), now() + patience * 0.9) is None
    found = due(workflow, frozenset(), now() + patience * 1.1)
    assert isinstance(found, Fail)
    assert "offline" in str(found.error)


def test_a_step_that_waits_past_the_deadline_has_failed() -> None:
    workflow = migration(CHECKPOINT, StepState.PENDING)
    late = workflow.model_copy(update={"deadline": now() - timedelta(seconds=1)})
    assert kind(due(late, BOTH, now())) == "Fail"
    home = migration(FINISH, StepState.PENDING)
    home = home.model_copy(update={"deadline": now() - timedelta(seconds=1)})
    assert due(home, BOTH, now()) is None


def test_a_failure_that_nobody_followed_up_is_decided() -> None:
    workflow = migration(RESTORE, StepState.FAILED)
    assert due(workflow, BOTH, now() + SOON) is None
    assert due(workflow, BOTH, now() + LATE) == Decide()


def test_a_step_beside_one_that_runs_is_left_to_it() -> None:
    workflow = migration(CHECKPOINT, StepState.RUNNING)
    failed = workflow.steps[RESTORE].failed(StepError(type="X", message="no"))
    assert due(workflow.with_step(RESTORE, failed), BOTH, now() + LATE) is None


def test_a_step_that_nobody_has_begun_is_given_up_if_a_host_asked_for_that() -> None:
    asked = migration(RESTORE, StepState.PENDING).model_copy(update={"cancel_requested": True})
    found = due(asked, BOTH, now())
    assert isinstance(found, Fail)
    assert isinstance(found.error, CancelledError)
    back = migration(FINISH, StepState.PENDING).model_copy(update={"cancel_requested": True})
    assert due(back, BOTH, now()) is None


def test_what_has_ended_needs_nothing() -> None:
    workflow = migration(FINISH, StepState.FAILED).model_copy(update={"state": State.ENDED})
    assert due(workflow, BOTH, now() + LATE) is None


class Recorder:
    """An application that only remembers what was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        monkeypatch.setattr(reconciling, "publish", self._published)
        monkeypatch.setattr("tasks.workflows.publish", self._published)

    def _published(self, _: Any, workflow: Workflow, signer: None) -> None:  # noqa: ANN401
        pending = [s for s in workflow.steps if s.state is StepState.PENDING]
        self.sent += [s.unit for s in pending if s.epoch == workflow.epoch]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


def look(recorder: Recorder, context: Context, redis: FakeRedis) -> None:
    registry = Registry(redis)
    for host in BOTH:
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="0", pid=1))
    reconcile(recorder, context, registry, redis)  # type: ignore[arg-type] # no application


def test_a_dead_worker_s_move_goes_on_once(
    recorder: Recorder, context: Context, redis: FakeRedis
) -> None:
    workflow = migration(CHECKPOINT, StepState.RUNNING, lapsed=True)
    stopped = workflow.model_copy(update={"source_stopped": True, "state": State.RUNNING})
    context.records.create(stopped)
    look(recorder, context, redis)
    look(recorder, context, redis)
    assert recorder.sent == [Unit.RESUME]
    after = context.records.get(workflow.id)
    assert after.epoch == 2
    assert after.steps[CHECKPOINT].state is StepState.FAILED


def beside(workflow: Workflow, *, lapsed: bool) -> Workflow:
    """The workflow with a restore that reads along."""
    running = migration(RESTORE, StepState.RUNNING, lapsed=lapsed).steps[RESTORE]
    stopped = workflow.with_step(RESTORE, running)
    return stopped.model_copy(update={"source_stopped": True, "state": State.RUNNING})


def test_of_two_steps_that_run_side_by_side_each_may_lose_its_worker(
    recorder: Recorder, context: Context, redis: FakeRedis
) -> None:
    workflow = beside(migration(CHECKPOINT, StepState.RUNNING, lapsed=True), lapsed=False)
    context.records.create(workflow)
    look(recorder, context, redis)
    assert context.records.get(workflow.id).epoch == 1  # the restore is waited for
    context.records.update(workflow.id, lambda found: beside(found, lapsed=True))
    look(recorder, context, redis)
    assert recorder.sent == [Unit.RESUME]


def test_no_step_of_a_plan_that_was_given_up_is_said_to_run(
    recorder: Recorder, context: Context, redis: FakeRedis
) -> None:
    workflow = migration(CHECKPOINT, StepState.RUNNING, lapsed=True)
    context.records.create(beside(workflow, lapsed=True))
    look(recorder, context, redis)
    after = context.records.get(workflow.id)
    assert after.epoch == 2
    lost = [after.steps[index].error for index in (CHECKPOINT, RESTORE)]
    assert [error.type for error in lost if error] == ["LeaseLostError"] * 2


def test_a_step_is_tried_again_after_a_pause_and_once(
    recorder: Recorder, context: Context, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = migration(DESCRIBE, StepState.RUNNING, lapsed=True)
    context.records.create(workflow)
    look(recorder, context, redis)
    again = context.records.get(workflow.id)
    assert (again.epoch, recorder.sent) == (2, [])
    assert again.not_before is not None
    moment = again.not_before + timedelta(seconds=0.1)
    monkeypatch.setattr(reconciling, "now", lambda: moment)
    look(recorder, context, redis)
    look(recorder, context, redis)
    assert recorder.sent == [step.unit for step in workflow.steps]


def test_before_the_source_was_touched_it_simply_ends_when_tries_are_over(
    recorder: Recorder, context: Context, redis: FakeRedis
) -> None:
    workflow = migration(DESCRIBE, StepState.RUNNING, lapsed=True)
    workflow = workflow.model_copy(update={"options": Options(retries=0)})
    context.records.create(workflow)
    look(recorder, context, redis)
    assert context.records.get(workflow.id).outcome is Outcome.UNTOUCHED
    assert context.records.live() == []


def test_a_worker_that_comes_back_in_time_keeps_its_step(
    recorder: Recorder, context: Context, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = migration(CHECKPOINT, StepState.RUNNING, lapsed=True)
    alive = migration(CHECKPOINT, StepState.RUNNING).model_copy(update={"id": seen.id})
    context.records.create(alive)
    monkeypatch.setattr(context.records, "unsettled", lambda **_: [seen])
    look(recorder, context, redis)
    assert context.records.get(seen.id) == alive
    assert recorder.sent == []


def test_a_ring_is_answered_at_once(recorder: Recorder, context: Context) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    context.records.create(workflow)
    ring(recorder, context)
    assert recorder.sent == [step.unit for step in context.records.get(workflow.id).steps]
    ring(recorder, context)  # nobody rang again
    assert len(recorder.sent) == len(context.records.get(workflow.id).steps)


def test_a_cancel_of_what_nobody_holds_is_answered_at_once(
    recorder: Recorder, context: Context
) -> None:
    workflow = migration(CHECKPOINT, StepState.PENDING)
    context.records.create(workflow)
    assert context.records.rung(wait_seconds=1) == workflow.id
    control.cancel(context.records, workflow.id)
    ring(recorder, context)
    assert context.records.get(workflow.id).outcome is Outcome.CANCELLED


def ring(recorder: Recorder, context: Context) -> None:
    answer(recorder, context, wait_seconds=1)  # type: ignore[arg-type] # no application


@pytest.mark.parametrize("rung", [True, False])
def test_what_a_host_has_ended_is_settled_when_it_rings_and_when_nobody_does(
    recorder: Recorder, context: Context, redis: FakeRedis, *, rung: bool
) -> None:
    asked = new_workflow(Kind.UP, "web", target="b")
    workflow = planned(asked, first_plan(asked))
    done = workflow.steps[0].model_copy(update={"state": StepState.DONE, "ended": now()})
    context.records.create(workflow)
    redis.delete(BELL)
    Records(redis, host="b").update(workflow.id, lambda w: completed(w.with_step(0, done)))
    assert redis.exists("podferry:workload:web")
    if rung:
        ring(recorder, context)
    else:
        redis.delete(BELL)
        look(recorder, context, redis)
    assert not redis.exists("podferry:workload:web")
    assert context.records.get(workflow.id).outcome is Outcome.STARTED


def test_a_workflow_that_cannot_be_driven_on_holds_no_other_one_up(
    recorder: Recorder, context: Context, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, fine = (migration(CHECKPOINT, StepState.RUNNING, lapsed=True) for _ in range(2))
    first, last = sorted((failed.id, fine.id))
    context.records.create(failed.model_copy(update={"id": first}))
    context.records.create(fine.model_copy(update={"id": last, "workload": "db"}))
    fall_back = workflows.fall_back

    def breaking(app: Any, context: Context, workflow_id: str, epoch: int) -> None:  # noqa: ANN401
        if workflow_id == first:
            raise ValueError("a host told something odd")
        fall_back(app, context, workflow_id, epoch)

    monkeypatch.setattr(reconciling, "fall_back", breaking)
    look(recorder, context, redis)
    assert context.records.get(last).epoch == 2
