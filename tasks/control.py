"""What a client does to workflows that exist: cancel, resume.

Each is one change of a record, which rings for a control worker in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tasks.errors import CancelledError, InvalidRequestError
from tasks.ladder import resume_steps
from tasks.models import (
    Outcome,
    State,
    Step,
    StepError,
    StepState,
    Unit,
    Workflow,
)
from tasks.plans import arrived, end, planned

if TYPE_CHECKING:
    from tasks.records import Records

GOING_BACK = {Unit.DISCARD, Unit.RESUME}


def cancel(records: Records, workflow_id: str) -> Workflow:
    """Ask the running step to stop; fail it ourselves when nobody holds it."""

    def change(workflow: Workflow) -> Workflow:
        if workflow.state is State.ENDED:
            raise InvalidRequestError(f"workflow {workflow_id} has ended: {workflow.outcome}")
        if workflow.state is State.QUEUED:
            return end(workflow, Outcome.CANCELLED, str(CancelledError()))
        index, step = _current(workflow)
        if (step is not None and step.unit is Unit.FINISH) or arrived(workflow, workflow.epoch):
            raise InvalidRequestError(
                f"workflow {workflow_id} is past its commit point: the workload runs on "
                f"{workflow.target}"
            )
        asked = workflow.model_copy(update={"cancel_requested": True})
        if step is None or step.unit in GOING_BACK or step.live or step.state is StepState.FAILED:
            return asked
        cancelled = StepError(type=CancelledError.__name__, message=str(CancelledError()))
        return asked.with_step(index, step.failed(cancelled))

    return records.update(workflow_id, change, ring=True)


def resume(records: Records, workflow_id: str, online: Collection[str]) -> Workflow:
    """Reopen a failed workflow with a plan that brings the workload back on its source.

    ``online`` are the hosts that live.
    """

    def change(workflow: Workflow) -> Workflow:
        if workflow.outcome is not Outcome.FAILED or not workflow.source_stopped:
            raise InvalidRequestError(
                f"workflow {workflow_id} left nothing to resume "
                f"(state {workflow.state}, outcome {workflow.outcome or 'none yet'})"
            )
        reopened = workflow.model_copy(
            update={"outcome": None, "ended": None, "reason": "", "next_command": ""}
        )
        return planned(reopened, resume_steps(workflow, online))

    return records.update(workflow_id, change, ring=True)


def _current(workflow: Workflow) -> tuple[int, Step | None]:
    """The first step of the newest plan that is not done."""
    for index, step in enumerate(workflow.steps):
        if step.epoch == workflow.epoch and step.state is not StepState.DONE:
            return index, step
    return len(workflow.steps), None
