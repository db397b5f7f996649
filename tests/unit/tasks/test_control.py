from __future__ import annotations

from datetime import timedelta

import pytest

from tasks import control
from tasks.context import Context
from tasks.errors import InvalidRequestError, StepFailedError, WorkloadBusyError
from tasks.models import (
    Kind,
    Outcome,
    State,
    StepState,
    Unit,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import end, planned
from tasks.step import Result, Step, run_step
from tasks.workflows import begin

RESTORE = 5  # the index of the step in a migration's plan


@pytest.fixture
def workflow(context: Context) -> Workflow:
    made = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    context.records.create(made)
    return made


def rung(context: Context) -> list[str]:
    """Whom the bell was rung for."""
    return list(iter(lambda: context.records.rung(wait_seconds=1) or "", ""))


def fine(_: Step) -> Result:
    return {}


def test_a_new_record_rings_and_one_that_is_refused_does_not(
    context: Context, workflow: Workflow
) -> None:
    with pytest.raises(WorkloadBusyError):
        context.records.create(new_workflow(Kind.UP, "web", target="a"))
    assert context.records.get(workflow.id).state is State.QUEUED
    assert rung(context) == [workflow.id]


def test_a_queued_workflow_is_cancelled_at_once_and_never_starts(
    context: Context, workflow: Workflow
) -> None:
    assert control.cancel(context.records, workflow.id).outcome is Outcome.CANCELLED
    assert begin(context, workflow.id) is None


def test_a_step_that_nobody_holds_is_given_up_by_the_cancel(
    context: Context, workflow: Workflow
) -> None:
    begin(context, workflow.id)
    assert rung(context) == [workflow.id]
    cancelled = control.cancel(context.records, workflow.id)
    assert cancelled.steps[0].state is StepState.FAILED
    assert rung(context) == [workflow.id]


def test_a_step_that_is_held_is_asked_and_a_dead_workers_is_given_up(
    context: Context, workflow: Workflow
) -> None:
    begin(context, workflow.id)

    def unit(_: Step) -> Result:
        asked = control.cancel(context.records, workflow.id)
        assert asked.steps[0].state is StepState.RUNNING
        context.records.update(workflow.id, lapsed)
        given_up = control.cancel(context.records, workflow.id)
        assert given_up.steps[0].state is StepState.FAILED
        return {}

    def lapsed(old: Workflow) -> Workflow:
        first = old.steps[0].model_copy(update={"lease_until": now() - timedelta(seconds=1)})
        return old.model_copy(update={"steps": (first, *old.steps[1:])})

    with pytest.raises(Exception, match="not ours"):
        run_step(context, workflow.id, 0, 1, unit)
    assert workflow.id in rung(context)


def test_a_cancel_leaves_the_reason_of_a_step_that_had_failed(
    context: Context, workflow: Workflow
) -> None:
    begin(context, workflow.id)

    def unit(_: Step) -> Result:
        raise InvalidRequestError("no")

    with pytest.raises(StepFailedError):
        run_step(context, workflow.id, 0, 1, unit)
    failed = context.records.get(workflow.id).steps[0]
    assert control.cancel(context.records, workflow.id).steps[0] == failed


def test_past_the_commit_point_a_cancel_is_refused(context: Context, workflow: Workflow) -> None:
    begin(context, workflow.id)
    for index in range(6):
        run_step(context, workflow.id, index, 1, fine)
    with pytest.raises(InvalidRequestError, match="past its commit point"):
        control.cancel(context.records, workflow.id)


def test_a_cancel_that_was_taken_is_kept_though_the_copy_runs_by_then(
    context: Context, workflow: Workflow
) -> None:
    begin(context, workflow.id)
    for index in range(RESTORE):
        run_step(context, workflow.id, index, 1, fine)

    def unit(_: Step) -> Result:
        control.cancel(context.records, workflow.id)
        return {}

    with pytest.raises(StepFailedError, match="cancelled"):
        run_step(context, workflow.id, RESTORE, 1, unit)
    assert context.records.get(workflow.id).steps[RESTORE].state is StepState.FAILED


def test_a_cancel_is_refused_when_the_copy_runs_before_the_checkpoint_has_ended(
    context: Context, workflow: Workflow
) -> None:
    begin(context, workflow.id)
    for index in range(RESTORE - 1):
        run_step(context, workflow.id, index, 1, fine)

    def unit(_: Step) -> Result:
        run_step(context, workflow.id, RESTORE, 1, fine)
        with pytest.raises(InvalidRequestError, match="past its commit point"):
            control.cancel(context.records, workflow.id)
        return {}

    run_step(context, workflow.id, RESTORE - 1, 1, unit)


def test_an_ended_workflow_is_neither_cancelled_nor_resumed(
    context: Context, workflow: Workflow
) -> None:
    context.records.update(workflow.id, lambda w: end(w, Outcome.MOVED))
    with pytest.raises(InvalidRequestError, match="has ended"):
        control.cancel(context.records, workflow.id)
    with pytest.raises(InvalidRequestError, match="nothing to resume"):
        control.resume(context.records, workflow.id, ["a", "b"])


def test_a_failed_workflow_is_reopened_with_a_way_back(
    context: Context, workflow: Workflow
) -> None:
    fields = {"source_stopped": True, "touched": "b"}
    context.records.update(
        workflow.id,
        lambda w: end(
            planned(w, ((Unit.RESUME, "a"),)).model_copy(update=fields), Outcome.FAILED, "no"
        ),
    )
    reopened = control.resume(context.records, workflow.id, ["a", "b"])
    assert [s.unit for s in reopened.steps if s.epoch == reopened.epoch] == ["discard", "resume"]
    assert reopened.state is State.RUNNING
    assert workflow.id in rung(context)
