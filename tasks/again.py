"""The request of a workflow that is over, once more: whether that makes sense, and the record."""

from __future__ import annotations

from storage import new_checkpoint_id
from tasks.errors import InvalidRequestError
from tasks.ladder import move_command
from tasks.locate import Place
from tasks.models import Kind, Outcome, State, Unit, Workflow, new_workflow, now

AS_ASKED = frozenset(
    {
        Outcome.MOVED,
        Outcome.CHECKPOINTED,
        Outcome.RESTORED,
        Outcome.BUILT,
        Outcome.STARTED,
        Outcome.CHECKED,
        Outcome.STOPPED,
    }
)


def require_retryable(workflow: Workflow) -> None:
    """Return when the request may be made again. Raises InvalidRequestError, with what to type."""
    if workflow.state is not State.ENDED:
        raise InvalidRequestError(
            f"workflow {workflow.id} has not ended; see: podferry watch {workflow.id}"
        )
    if workflow.options.heal:
        raise InvalidRequestError(
            f"workflow {workflow.id} healed a dead host, which first has to be off: "
            f"podferry heal {workflow.source}"
        )
    if workflow.outcome in AS_ASKED or workflow.cold_as_asked:
        raise InvalidRequestError(
            f"workflow {workflow.id} ended as asked ({workflow.outcome}); "
            f"for another one type: {command_of(workflow)}"
        )
    if workflow.outcome is Outcome.FAILED and workflow.source_stopped:
        raise InvalidRequestError(
            f"workflow {workflow.id} left {workflow.workload!r} stopped on {workflow.source}"
            f"{'' if workflow.options.cold else ', with its memory'}; "
            f"first bring it back: podferry resume {workflow.id}"
        )
    if any(step.unit is Unit.BUILD and step.started for step in workflow.steps):
        raise InvalidRequestError(
            f"the context of workflow {workflow.id} was removed after its build; "
            f"send it anew: {command_of(workflow)}"
        )


def request_gone(workflow: Workflow) -> InvalidRequestError:
    """The error where a request's own content is not kept any more."""
    return InvalidRequestError(
        f"what workflow {workflow.id} was to make is not known any more: it may hold secrets, so "
        f"it is kept for an hour at most; type it anew: {command_of(workflow)}"
    )


def asked_target(workflow: Workflow) -> str:
    """The target of the request, whatever host a later plan chose; empty: any that fits."""
    if workflow.options.anywhere:
        return ""
    first = next((s for s in workflow.steps if s.unit is Unit.PREFLIGHT and s.epoch == 1), None)
    return first.host if first else workflow.target or ""


def seconds_asked(workflow: Workflow) -> float:
    """How long the request gave it until its deadline."""
    return (workflow.deadline - workflow.created).total_seconds()


def renewed(old: Workflow, place: Place | None) -> Workflow:
    """A record that asks for what another did, of the workload at its place, if it has one."""
    name = place.name if place else old.workload
    return new_workflow(
        old.kind,
        name,
        group=place.group if place else None,
        members=place.members if place else (),
        source=place.host if place else None,
        target=asked_target(old) or None,
        options=old.options,
        deadline_seconds=seconds_asked(old),
        checkpoint_id=new_checkpoint_id(name, now()) if old.checkpoint_id else "",
    )


def command_of(workflow: Workflow) -> str:
    """The command that asks for the like of it, as far as the record tells."""
    target = asked_target(workflow)
    match workflow.kind:
        case Kind.MIGRATE | Kind.PREFLIGHT:
            return move_command(workflow, target)
        case Kind.STOP:
            return f"podferry drain {workflow.source}"
        case Kind.CHECKPOINT:
            return f"podferry checkpoint {workflow.workload}"
        case Kind.RESTORE:
            return f"podferry restore {workflow.checkpoint_id} --to {target}"
        case Kind.BUILD:
            return f"podferry build CONTEXT --tag TAG --host {target}"
        case Kind.UP:
            return f"podferry up IMAGE --name {workflow.workload} --host {target}"
