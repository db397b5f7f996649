"""The plan of a workflow, and what it has come to: pure functions of its record.

A plan is a chain of steps with an epoch of its own. When a step of it fails, ``tasks.ladder`` says
what follows; the new plan's epoch shuts out every late message and worker of the old one.
"""

from __future__ import annotations

from tasks.models import (
    Kind,
    Outcome,
    Preseed,
    State,
    Step,
    StepState,
    Unit,
    Workflow,
    now,
)

Steps = tuple[tuple[Unit, str], ...]


def first_plan(workflow: Workflow) -> Steps:
    """The units of a new workflow, in order."""
    source, target = workflow.source or "", workflow.target or ""
    cold, preseed = workflow.options.cold, workflow.options.preseed
    brought = (back_by(workflow), target)
    match workflow.kind:
        case Kind.MIGRATE:
            early: Steps = ((Unit.PRESEED, source), (Unit.PREFETCH, target))
            return (
                (Unit.DESCRIBE, source),
                (Unit.PREFLIGHT, target),
                (Unit.PUSH_IMAGE, source),
                (Unit.PULL_IMAGE, target),
                *(() if cold or preseed is Preseed.OFF else early),
                (Unit.CHECKPOINT, source),
                brought,
                (Unit.FINISH, source),
            )
        case Kind.CHECKPOINT:
            return (
                (Unit.DESCRIBE, source),
                (Unit.PUSH_IMAGE, source),
                (Unit.CHECKPOINT, source),
            )
        case Kind.RESTORE:
            return ((Unit.PULL_IMAGE, target), brought)
        case Kind.BUILD:
            return ((Unit.BUILD, target),)
        case Kind.UP:
            return ((Unit.UP, target),)
        case Kind.PREFLIGHT:
            return ((Unit.DESCRIBE, source), (Unit.PREFLIGHT, target))
        case Kind.STOP:
            return ((Unit.DESCRIBE, source), (Unit.STOP, source))


def back_by(workflow: Workflow) -> Unit:
    """The unit that brings a workload back from its checkpoint."""
    return Unit.UP if workflow.options.cold else Unit.RESTORE


def made_cold(workflow: Workflow) -> Workflow:
    """A move of which nothing but the look at its source was begun, turned into a cold one."""
    steps = (
        step.model_copy(update={"unit": Unit.UP})
        if (step.unit, step.state) == (Unit.RESTORE, StepState.PENDING)
        else step
        for step in workflow.steps
    )
    options = workflow.options.model_copy(update={"cold": True})
    return workflow.model_copy(update={"options": options, "steps": tuple(steps)})


def planned(workflow: Workflow, steps: Steps) -> Workflow:
    """The workflow with a new plan of a new epoch, its first step to come."""
    epoch = workflow.epoch + 1
    new = tuple(Step(unit=unit, host=host, epoch=epoch) for unit, host in steps)
    return workflow.model_copy(
        update={
            "epoch": epoch,
            "steps": (*workflow.steps, *new),
            "state": State.RUNNING,
            "planned": now(),
        }
    )


def end(workflow: Workflow, outcome: Outcome, reason: str = "", command: str = "") -> Workflow:
    """The workflow, over."""
    return workflow.model_copy(
        update={
            "state": State.ENDED,
            "outcome": outcome,
            "ended": now(),
            "reason": reason,
            "next_command": command,
        }
    )


def completed(workflow: Workflow) -> Workflow:
    """The workflow, over if the last step of its plan is done."""
    last = workflow.steps[-1] if workflow.steps else None
    if last is None or last.state is not StepState.DONE or workflow.state is State.ENDED:
        return workflow
    over = end(workflow, outcome_of(workflow), why(workflow))
    return over.model_copy(update={"ended": last.ended})


def outcome_of(workflow: Workflow) -> Outcome:
    """How a workflow ended whose last planned step is done."""
    last = workflow.steps[-1]
    if last.unit is Unit.RESUME:
        if workflow.cancel_requested:
            return Outcome.CANCELLED
        if workflow.kind is Kind.STOP and workflow.done(Unit.STOP):
            return Outcome.STARTED
        return Outcome.RESUMED if last.result.get("memory_kept") else Outcome.COLD
    if workflow.kind is Kind.MIGRATE:
        return Outcome.COLD if workflow.done(Unit.UP) else Outcome.MOVED
    if last.unit is Unit.DISCARD:  # a heal that came to nothing, and left nothing
        return Outcome.CANCELLED if workflow.cancel_requested else Outcome.FAILED
    if last.unit is Unit.UP and workflow.kind is Kind.RESTORE:
        return Outcome.COLD
    return {
        Kind.CHECKPOINT: Outcome.CHECKPOINTED,
        Kind.RESTORE: Outcome.RESTORED,
        Kind.BUILD: Outcome.BUILT,
        Kind.UP: Outcome.STARTED,
        Kind.PREFLIGHT: Outcome.CHECKED,
        Kind.STOP: Outcome.STOPPED,
    }[workflow.kind]


def arrives(workflow: Workflow, step: Step) -> bool:
    """Whether a move is past its commit point when this step of it is done: the copy runs."""
    return workflow.kind is Kind.MIGRATE and step.unit in {Unit.RESTORE, Unit.UP}


def arrived(workflow: Workflow, epoch: int) -> bool:
    """Whether a plan of this epoch is past it, though the checkpoint may not have ended well."""
    return any(
        step.epoch == epoch and step.state is StepState.DONE and arrives(workflow, step)
        for step in workflow.steps
    )


def why(workflow: Workflow) -> str:
    """What failed last, and where; empty when nothing did."""
    failed = workflow.failed_step
    if failed is None or failed.error is None:
        return ""
    return f"{failed.unit} on {failed.host}: {failed.error.message}"
