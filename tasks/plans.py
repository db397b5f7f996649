"""What a workflow does next: pure functions of its record.

A plan is a chain of steps with an epoch of its own. When a step of it fails, ``after_failure``
says which steps come next, or how the workflow ends; the new plan's epoch shuts out every late
message and worker of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.models import (
    Fallback,
    GroupKind,
    Kind,
    Outcome,
    Preseed,
    State,
    Step,
    Unit,
    Workflow,
    now,
)

Steps = tuple[tuple[Unit, str], ...]


@dataclass(frozen=True, kw_only=True)
class Next:
    """Go on with these units, each on its host."""

    steps: Steps


@dataclass(frozen=True, kw_only=True)
class End:
    """The workflow is over."""

    outcome: Outcome
    reason: str = ""
    next_command: str = ""


def first_plan(workflow: Workflow) -> Steps:
    """The units of a new workflow, in order."""
    source, target = workflow.source or "", workflow.target or ""
    match workflow.kind:
        case Kind.MIGRATE:
            early: Steps = ((Unit.PRESEED, source), (Unit.PREFETCH, target))
            return (
                (Unit.DESCRIBE, source),
                (Unit.PREFLIGHT, target),
                (Unit.PUSH_IMAGE, source),
                (Unit.PULL_IMAGE, target),
                *(early if workflow.options.preseed is not Preseed.OFF else ()),
                (Unit.CHECKPOINT, source),
                (Unit.RESTORE, target),
                (Unit.FINISH, source),
            )
        case Kind.CHECKPOINT:
            return (
                (Unit.DESCRIBE, source),
                (Unit.PUSH_IMAGE, source),
                (Unit.CHECKPOINT, source),
            )
        case Kind.RESTORE:
            return ((Unit.PULL_IMAGE, target), (Unit.RESTORE, target))
        case Kind.BUILD:
            return ((Unit.BUILD, target),)
        case Kind.UP:
            return ((Unit.UP, target),)
        case Kind.PREFLIGHT:
            return ((Unit.DESCRIBE, source), (Unit.PREFLIGHT, target))


def planned(workflow: Workflow, steps: Steps) -> Workflow:
    """The workflow with a new plan of a new epoch, its first step to come."""
    epoch = workflow.epoch + 1
    new = tuple(Step(unit=unit, host=host, epoch=epoch) for unit, host in steps)
    return workflow.model_copy(
        update={"epoch": epoch, "steps": (*workflow.steps, *new), "state": State.RUNNING}
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


def outcome_of(workflow: Workflow) -> Outcome:
    """How a workflow ended whose last planned step is done."""
    last = workflow.steps[-1]
    if last.unit is Unit.RESUME:
        if workflow.cancel_requested:
            return Outcome.CANCELLED
        return Outcome.RESUMED if last.result.get("memory_kept") else Outcome.COLD
    if workflow.kind is Kind.MIGRATE:
        return Outcome.COLD if _ran(workflow, Unit.UP) else Outcome.MOVED
    return {
        Kind.CHECKPOINT: Outcome.CHECKPOINTED,
        Kind.RESTORE: Outcome.RESTORED,
        Kind.BUILD: Outcome.BUILT,
        Kind.UP: Outcome.STARTED,
        Kind.PREFLIGHT: Outcome.CHECKED,
    }[workflow.kind]


def why(workflow: Workflow) -> str:
    """What failed last, and where; empty when nothing did."""
    failed = workflow.failed_step
    if failed is None or failed.error is None:
        return ""
    return f"{failed.unit} on {failed.host}: {failed.error.message}"


def after_failure(workflow: Workflow) -> Next | End:
    """The next rung after the newest failed step.

    The rungs of a migration: a cold start on the target (``fallback=cold``, not into a pod, and
    only while an archive can give it the volumes), then back on the source with its memory. The
    target is proven empty before the source resumes, so that two copies never run.
    """
    failed = workflow.failed_step
    if failed is None or failed.error is None:
        raise ValueError(f"workflow {workflow.id} has no failed step")
    reason = why(workflow)
    if failed.unit is Unit.FINISH:
        return _left_over(workflow, failed)
    if _arrived(workflow, failed.epoch):
        return Next(steps=((Unit.FINISH, workflow.source or ""),))
    if workflow.kind in {Kind.MIGRATE, Kind.CHECKPOINT} and workflow.source_stopped:
        return _rung(workflow, failed, reason)
    return _before_the_stop(workflow, reason)


def resume_steps(workflow: Workflow) -> Steps:
    """Back on the source; first the target is proven empty, if it may hold anything of ours."""
    resume: Steps = ((Unit.RESUME, workflow.source or ""),)
    if workflow.target_touched:
        return ((Unit.DISCARD, workflow.target or ""), *resume)
    return resume


def _before_the_stop(workflow: Workflow, reason: str) -> End:
    if workflow.cancel_requested:
        return End(outcome=Outcome.CANCELLED, reason=reason)
    if workflow.kind is Kind.MIGRATE:
        return End(
            outcome=Outcome.UNTOUCHED,
            reason=reason,
            next_command=f"podferry migrate {workflow.workload} --to {workflow.target}",
        )
    return End(outcome=Outcome.FAILED, reason=reason)


def _rung(workflow: Workflow, failed: Step, reason: str) -> Next | End:
    source, target = workflow.source or "", workflow.target or ""
    if failed.unit in {Unit.RESUME, Unit.DISCARD}:
        return End(
            outcome=Outcome.FAILED,
            reason=f"{reason}; the memory is kept on {source}",
            next_command=f"podferry resume {workflow.id}",
        )
    cold = (
        failed.unit is Unit.RESTORE
        and _ran(workflow, Unit.CHECKPOINT)
        and workflow.options.fallback is Fallback.COLD
        and not workflow.cancel_requested
        and not _in_pod(workflow)
    )
    if cold:
        return Next(steps=((Unit.UP, target), (Unit.FINISH, source)))
    return Next(steps=resume_steps(workflow))


def _in_pod(workflow: Workflow) -> bool:
    """Whether its containers are in a pod, into which nothing is started cold."""
    described = workflow.done(Unit.DESCRIBE)
    return described is not None and bool(described.result.get("pod"))


def _left_over(workflow: Workflow, failed: Step) -> End:
    message = failed.error.message if failed.error else ""
    remove = "podman pod rm --force" if workflow.group is GroupKind.POD else "podman rm"
    return End(
        outcome=Outcome.COLD if _ran(workflow, Unit.UP) else Outcome.MOVED,
        reason=f"the old copy on {failed.host} was not removed: {message}",
        next_command=f"{remove} {workflow.workload}    # on {failed.host}",
    )


def _arrived(workflow: Workflow, epoch: int) -> bool:
    """Whether the copy runs on the target, though the checkpoint that it read did not end well."""
    restored = workflow.done(Unit.RESTORE)
    return workflow.kind is Kind.MIGRATE and restored is not None and restored.epoch == epoch


def _ran(workflow: Workflow, unit: Unit) -> bool:
    return workflow.done(unit) is not None
