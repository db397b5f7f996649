from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.context import Context
from tasks.errors import CancelledError, StepFailedError, SupersededError
from tasks.models import (
    EventType,
    Kind,
    Outcome,
    State,
    StepState,
    Unit,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import planned
from tasks.step import Result, Step, run_step


@pytest.fixture
def workflow(context: Context) -> Workflow:
    made = new_workflow(Kind.RESTORE, "web", target="a")
    made = planned(made, ((Unit.PULL_IMAGE, "a"), (Unit.RESTORE, "a")))
    context.records.create(made)
    return made


def fine(_: Step) -> Result:
    return {"bytes": 1}


def never(_: Step) -> Result:
    pytest.fail("the unit ran")


def types(context: Context, workflow: Workflow) -> list[EventType]:
    return [e.type for _, e in context.records.events(workflow.id, wait_seconds=0)]


def test_a_step_is_claimed_run_and_recorded(context: Context, workflow: Workflow) -> None:
    def unit(step: Step) -> Result:
        held = context.records.get(workflow.id).steps[0]
        assert held.state is StepState.RUNNING
        assert held.lease_until is not None
        assert held.lease_until > now()
        step.progress(5)
        return {"bytes": 5}

    assert run_step(context, workflow.id, 0, 1, unit) == {"bytes": 5}
    after = context.records.get(workflow.id)
    assert after.state is State.RUNNING
    assert after.steps[0].state is StepState.DONE
    assert after.steps[0].result == {"bytes": 5}
    assert types(context, workflow) == [EventType.STARTED, EventType.PROGRESS, EventType.DONE]


def test_a_reader_is_told_how_much_there_is(context: Context, workflow: Workflow) -> None:
    archive = context.archives.write("some/archive", [b"data"])

    def unit(step: Step) -> Result:
        assert b"".join(step.read(archive)) == b"data"
        return {}

    run_step(context, workflow.id, 0, 1, unit)
    events = [event for _, event in context.records.events(workflow.id, wait_seconds=0)]
    assert [(e.bytes, e.total) for e in events if e.type is EventType.PROGRESS] == [(4, 4)]


def test_a_repeated_message_returns_the_recorded_result(
    context: Context, workflow: Workflow
) -> None:
    run_step(context, workflow.id, 0, 1, fine)
    assert run_step(context, workflow.id, 0, 1, never) == {"bytes": 1}


def test_a_step_that_another_worker_holds_is_left_alone(
    context: Context, workflow: Workflow
) -> None:
    def unit(_: Step) -> Result:
        with pytest.raises(SupersededError):
            run_step(context, workflow.id, 0, 1, never)
        return {}

    run_step(context, workflow.id, 0, 1, unit)


@pytest.mark.parametrize(("index", "epoch"), [(0, 0), (0, 2), (9, 1)])
def test_a_message_of_another_plan_is_refused(
    context: Context, workflow: Workflow, index: int, epoch: int
) -> None:
    with pytest.raises(SupersededError):
        run_step(context, workflow.id, index, epoch, never)


def test_the_last_step_ends_the_workflow(context: Context, workflow: Workflow) -> None:
    run_step(context, workflow.id, 0, 1, fine)
    run_step(context, workflow.id, 1, 1, fine)
    after = context.records.get(workflow.id)
    assert after.state is State.ENDED
    assert after.outcome is Outcome.RESTORED
    assert types(context, workflow)[-1] is EventType.ENDED


def test_a_failure_is_in_the_record_before_it_is_raised(
    context: Context, workflow: Workflow
) -> None:
    def unit(_: Step) -> Result:
        raise ValueError("broken")

    with pytest.raises(StepFailedError, match="ValueError: broken"):
        run_step(context, workflow.id, 0, 1, unit)
    failed = context.records.get(workflow.id).steps[0]
    assert failed.state is StepState.FAILED
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "broken")


def test_a_late_worker_can_neither_pass_its_fence_nor_commit(
    context: Context, workflow: Workflow
) -> None:
    def given_up(old: Workflow) -> Workflow:
        return planned(old, ((Unit.RESTORE, "a"),))

    def fenced(step: Step) -> Result:
        context.records.update(workflow.id, given_up)
        step.fence()
        pytest.fail("the fence let it pass")

    with pytest.raises(SupersededError):
        run_step(context, workflow.id, 0, 1, fenced)
    assert context.records.get(workflow.id).steps[0].state is StepState.RUNNING


def test_a_late_result_is_not_recorded(context: Context, workflow: Workflow) -> None:
    def unit(_: Step) -> Result:
        context.records.update(workflow.id, lambda w: planned(w, ((Unit.RESTORE, "a"),)))
        return {"late": True}

    with pytest.raises(SupersededError):
        run_step(context, workflow.id, 0, 1, unit)
    assert context.records.get(workflow.id).steps[0].result == {}


def test_a_cancel_stops_a_step_before_it_starts(context: Context, workflow: Workflow) -> None:
    context.records.update(workflow.id, lambda w: w.model_copy(update={"cancel_requested": True}))
    with pytest.raises(StepFailedError, match="CancelledError"):
        run_step(context, workflow.id, 0, 1, never)


def test_a_cancel_reaches_a_running_transfer(context: Context, workflow: Workflow) -> None:
    def unit(step: Step) -> Result:
        context.records.update(
            workflow.id, lambda w: w.model_copy(update={"cancel_requested": True})
        )
        step.renew()
        with pytest.raises(CancelledError):
            step.progress(1)
        step.check()
        return {}

    with pytest.raises(StepFailedError, match="CancelledError"):
        run_step(context, workflow.id, 0, 1, unit)


def test_the_deadline_stops_a_step(context: Context, workflow: Workflow) -> None:
    past = now() - timedelta(seconds=1)
    context.records.update(workflow.id, lambda w: w.model_copy(update={"deadline": past}))
    with pytest.raises(StepFailedError, match="DeadlineError"):
        run_step(context, workflow.id, 0, 1, never)


def test_going_back_ignores_cancel_and_deadline(context: Context) -> None:
    made = planned(new_workflow(Kind.MIGRATE, "db", source="a", target="b"), ((Unit.RESUME, "a"),))
    context.records.create(
        made.model_copy(update={"cancel_requested": True, "deadline": now() - timedelta(seconds=1)})
    )
    run_step(context, made.id, 0, 1, lambda _: {"memory_kept": True})
    assert context.records.get(made.id).outcome is Outcome.CANCELLED
