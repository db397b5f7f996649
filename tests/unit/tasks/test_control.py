from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from celery import Celery

from tasks import control
from tasks.context import Context
from tasks.errors import InvalidRequestError, WorkloadBusyError
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
from tasks.queues import CONTROL_QUEUE, FALL_BACK, START
from tasks.step import Result, Step, end, run_step
from tasks.workflows import begin, planned


@dataclass
class Doorbell:
    """Stands for the Celery application: what was sent to which queue."""

    rung: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    def send_task(self, name: str, *, queue: str, **_: Any) -> None:  # noqa: ANN401 - as Celery
        if self.broken:
            raise ConnectionError("no broker")
        self.rung.append((name, queue))

    @property
    def app(self) -> Celery:
        return cast("Celery", self)


@pytest.fixture
def bell() -> Doorbell:
    return Doorbell()


@pytest.fixture
def workflow(context: Context, bell: Doorbell) -> Workflow:
    made = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    control.submit(bell.app, context.records, made)
    return made


def fine(_: Step) -> Result:
    return {}


def test_the_record_is_written_before_the_doorbell_rings(
    context: Context, bell: Doorbell, workflow: Workflow
) -> None:
    assert context.records.get(workflow.id).state is State.QUEUED
    assert bell.rung == [(START, CONTROL_QUEUE)]
    with pytest.raises(WorkloadBusyError):
        control.submit(bell.app, context.records, new_workflow(Kind.UP, "web", target="a"))


def test_a_broken_doorbell_frees_the_workload(context: Context, bell: Doorbell) -> None:
    bell.broken = True
    made = new_workflow(Kind.UP, "web", target="a")
    with pytest.raises(ConnectionError):
        control.submit(bell.app, context.records, made)
    assert context.records.get(made.id).outcome is Outcome.FAILED
    bell.broken = False
    control.submit(bell.app, context.records, new_workflow(Kind.UP, "web", target="a"))


def test_a_queued_workflow_is_cancelled_at_once_and_never_starts(
    context: Context, bell: Doorbell, workflow: Workflow
) -> None:
    assert control.cancel(bell.app, context.records, workflow.id).outcome is Outcome.CANCELLED
    assert begin(context, workflow.id) is None


def test_a_step_that_nobody_holds_is_given_up_by_the_cancel(
    context: Context, bell: Doorbell, workflow: Workflow
) -> None:
    begin(context, workflow.id)
    cancelled = control.cancel(bell.app, context.records, workflow.id)
    assert cancelled.steps[0].state is StepState.FAILED
    assert bell.rung[-1] == (FALL_BACK, CONTROL_QUEUE)


def test_a_step_that_is_held_is_asked_and_a_dead_workers_is_given_up(
    context: Context, bell: Doorbell, workflow: Workflow
) -> None:
    begin(context, workflow.id)

    def unit(_: Step) -> Result:
        asked = control.cancel(bell.app, context.records, workflow.id)
        assert asked.steps[0].state is StepState.RUNNING
        assert (FALL_BACK, CONTROL_QUEUE) not in bell.rung
        context.records.update(workflow.id, lapsed)
        given_up = control.cancel(bell.app, context.records, workflow.id)
        assert given_up.steps[0].state is StepState.FAILED
        return {}

    def lapsed(old: Workflow) -> Workflow:
        first = old.steps[0].model_copy(update={"lease_until": now() - timedelta(seconds=1)})
        return old.model_copy(update={"steps": (first, *old.steps[1:])})

    with pytest.raises(Exception, match="not ours"):
        run_step(context, workflow.id, 0, 1, unit)
    assert bell.rung[-1] == (FALL_BACK, CONTROL_QUEUE)


def test_past_the_commit_point_a_cancel_is_refused(
    context: Context, bell: Doorbell, workflow: Workflow
) -> None:
    begin(context, workflow.id)
    for index in range(6):
        run_step(context, workflow.id, index, 1, fine)
    with pytest.raises(InvalidRequestError, match="past its commit point"):
        control.cancel(bell.app, context.records, workflow.id)


def test_an_ended_workflow_is_neither_cancelled_nor_resumed(
    context: Context, bell: Doorbell, workflow: Workflow
) -> None:
    context.records.update(workflow.id, lambda w: end(w, Outcome.MOVED))
    with pytest.raises(InvalidRequestError, match="has ended"):
        control.cancel(bell.app, context.records, workflow.id)
    with pytest.raises(InvalidRequestError, match="nothing to resume"):
        control.resume(bell.app, context.records, workflow.id)


def test_a_failed_workflow_is_reopened_with_a_way_back(
    context: Context, bell: Doorbell, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[Workflow] = []
    monkeypatch.setattr(control, "publish", lambda _, plan: published.append(plan))
    fields = {"source_stopped": True, "target_touched": True}
    context.records.update(
        workflow.id,
        lambda w: end(
            planned(w, ((Unit.RESUME, "a"),)).model_copy(update=fields), Outcome.FAILED, "no"
        ),
    )
    reopened = control.resume(bell.app, context.records, workflow.id)
    assert [s.unit for s in reopened.steps if s.epoch == reopened.epoch] == ["discard", "resume"]
    assert reopened.state is State.RUNNING
    assert published == [reopened]
