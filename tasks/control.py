"""What a client does to workflows that exist: cancel, resume.

Each is one change of a record, which rings for a control worker in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tasks.errors import CancelledError, InvalidRequestError
from tasks.evictions import Eviction, Meaning
from tasks.ladder import left_behind, resume_steps
from tasks.models import (
    Outcome,
    State,
    Step,
    StepError,
    StepState,
    Unit,
    Workflow,
)
from tasks.plans import Steps, arrived, end, planned

if TYPE_CHECKING:
    from tasks.records import Records

GOING_BACK = {Unit.DISCARD, Unit.RESUME}


def cancel(records: Records, workflow_id: str) -> Workflow:
    """Ask the running step to stop; fail it ourselves when nobody holds it."""
    return records.update(workflow_id, _cancelled, ring=True)


def call_off(records: Records, workflow_id: str) -> bool:
    """Cancel what has no permit to run a copy yet; whether there was none.

    From then on it gets none. Also a host asks for this: a control worker does what follows.
    """

    def change(workflow: Workflow) -> Workflow:
        if workflow.permit is not None:
            raise InvalidRequestError(f"workflow {workflow_id} may run on {workflow.permit}")
        _require_live(workflow)
        return workflow.model_copy(update={"cancel_requested": True})

    try:
        records.update(workflow_id, change, ring=True)
    except InvalidRequestError:
        return False
    return True


def _require_live(workflow: Workflow) -> None:
    if workflow.state is State.ENDED:
        raise InvalidRequestError(f"workflow {workflow.id} has ended: {workflow.outcome}")


def _cancelled(workflow: Workflow) -> Workflow:
    _require_live(workflow)
    if workflow.state is State.QUEUED:
        return end(workflow, Outcome.CANCELLED, str(CancelledError()))
    index, step = _current(workflow)
    if (step is not None and step.unit is Unit.FINISH) or arrived(workflow, workflow.epoch):
        raise InvalidRequestError(
            f"workflow {workflow.id} is past its commit point: the workload runs on "
            f"{workflow.target}"
        )
    asked = workflow.model_copy(update={"cancel_requested": True})
    if step is None or step.unit in GOING_BACK or step.live or step.state is StepState.FAILED:
        return asked
    cancelled = StepError(type=CancelledError.__name__, message=str(CancelledError()))
    return asked.with_step(index, step.failed(cancelled))


def resume(records: Records, workflow_id: str, online: Collection[str]) -> Workflow:
    """Reopen a failed workflow with a plan that brings the workload back on its source.

    One that has stopped a workload, as it was asked to, likewise: it is started there again.

    ``online`` are the hosts that live.
    """

    def change(workflow: Workflow) -> Workflow:
        stopped = workflow.outcome in {Outcome.FAILED, Outcome.STOPPED}
        if not stopped or not workflow.source_stopped:
            raise InvalidRequestError(
                f"workflow {workflow_id} left nothing to resume "
                f"(state {workflow.state}, outcome {workflow.outcome or 'none yet'})"
            )
        healed = healed_by(records, workflow)
        if healed:
            raise InvalidRequestError(
                f"{workflow.workload!r} was brought up elsewhere when {workflow.source!r} was "
                f"dead; see: podferry status {healed}"
            )
        reopened = workflow.model_copy(
            update={"outcome": None, "ended": None, "reason": "", "next_command": ""}
        )
        steps = resume_steps(workflow, online)
        leave_behind(records, workflow, steps, online)
        return planned(reopened, steps)

    return records.update(workflow_id, change, ring=True)


def healed_by(records: Records, workflow: Workflow) -> str:
    """The workflow for which this one's copy on its source must not run any more, if any."""
    found = records.evictions.of(workflow.source or "")
    stopped = (e for e in found if e.meaning is Meaning.STOP)
    names = set(workflow.containers)
    return next((e.workflow for e in stopped if names & set(e.parts.containers)), "")


def leave_behind(
    records: Records, workflow: Workflow, steps: Steps, online: Collection[str]
) -> None:
    """Have an offline host remove what may be there, if a plan of these steps passes it over.

    It is said before the plan is made. One that is then not made does no harm: the host asks
    whether a workflow works there, and who finds nothing there of these names voids it.
    """
    host = left_behind(workflow, steps, online)
    if host is not None and workflow.parts is not None:
        eviction = Eviction(
            meaning=Meaning.REMOVE,
            workload=workflow.workload,
            workflow=workflow.id,
            parts=workflow.parts,
        )
        records.evictions.put(host, eviction)


def _current(workflow: Workflow) -> tuple[int, Step | None]:
    """The first step of the newest plan that is not done."""
    for index, step in enumerate(workflow.steps):
        if step.epoch == workflow.epoch and step.state is not StepState.DONE:
            return index, step
    return len(workflow.steps), None
