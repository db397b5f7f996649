"""What follows a failed step: the same again, the next rung of the ladder, or the end.

Pure functions of the record. Whatever the source still holds is given up last: a plan that brings
a workload back somewhere else begins by proving that no other copy of ours can run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from tasks.errors import DeadlineError, InvalidRequestError
from tasks.models import (
    LADDER,
    Fallback,
    GroupKind,
    Kind,
    OnDeadline,
    Outcome,
    Policy,
    Step,
    StepState,
    Unit,
    Workflow,
)
from tasks.plans import Steps, arrived, back_by, first_plan, why

# What may be gone at the next try, by the names that records keep.
PASSING = frozenset(
    {
        "BrokerUnavailableError",
        "EngineUnavailableError",
        "LeaseLostError",
        "ReplayedStepError",
        "StoreBusyError",
        "StoreUnavailableError",
    }
)
# A cold start has tries of its own; a build's context is gone after the first.
ONCE = frozenset({Unit.UP, Unit.BUILD})
# The target of a plan as it was asked, and what a later plan may choose, are known from these.
CHOOSES_TARGET = frozenset({Unit.PREFLIGHT, Unit.RESTORE})


# Kinds that stop a workload on its source.
STOPPING = frozenset({Kind.MIGRATE, Kind.CHECKPOINT, Kind.STOP})


@dataclass(frozen=True, kw_only=True)
class Next:
    """Go on with these units, each on its host.

    ``tries`` counts how often the first of them has failed already: what a pause grows with.
    """

    steps: Steps
    target: str | None = None  # the workflow's from now on
    tries: int = 0


@dataclass(frozen=True, kw_only=True)
class End:
    """The workflow is over."""

    outcome: Outcome
    reason: str = ""
    next_command: str = ""


def parse_ladder(text: str) -> tuple[Fallback, ...]:
    """Rungs as people write them: ``elsewhere,cold,resume``; the last is added where it lacks.

    Raises InvalidRequestError.
    """
    known = ", ".join(Fallback)
    try:
        rungs = tuple(Fallback(word.strip()) for word in text.split(","))
    except ValueError:
        raise InvalidRequestError(f"fallback {text!r} is no list of: {known}") from None
    if Fallback.RESUME in rungs[:-1] or len(set(rungs)) < len(rungs):
        raise InvalidRequestError(f"fallback {text!r}: each of {known} once, resume last")
    return rungs if Fallback.RESUME in rungs else (*rungs, Fallback.RESUME)


def ladder_of(workflow: Workflow, default: Sequence[Fallback] = LADDER) -> tuple[Fallback, ...]:
    """The rungs of a workflow: as it was asked, as its containers' label says, or the default.

    What is never to lose its memory is not started cold, whatever these say.
    """
    label = _described(workflow, "fallback")
    rungs = workflow.options.fallback or (label if isinstance(label, list) and label else default)
    ladder = (Fallback(str(rung)) for rung in rungs)
    return tuple(rung for rung in ladder if not (rung is Fallback.COLD and _stays_live(workflow)))


def _stays_live(workflow: Workflow) -> bool:
    return _described(workflow, "policy") == Policy.LIVE


def _described(workflow: Workflow, field: str) -> JsonValue:
    described = workflow.done(Unit.DESCRIBE)
    return described.result.get(field) if described else None


def after_failure(
    workflow: Workflow,
    *,
    default: Sequence[Fallback] = LADDER,
    online: Sequence[str] = (),
    fitting: Sequence[str] | None = None,
) -> Next | End:
    """What follows the newest failed step, when none of its plan runs any more.

    ``default`` is the installation's ladder; ``online`` the hosts that live; ``fitting`` those
    that placement would choose instead, the best first (None: nobody asked, any live one).
    """
    others = [host for host in (online if fitting is None else fitting) if host in online]
    failed = workflow.failed_step
    if failed is None or failed.error is None:
        raise ValueError(f"workflow {workflow.id} has no failed step")
    again = _again(workflow, failed)
    if again is not None:
        return again
    if failed.unit is Unit.FINISH:
        return _left_over(workflow, failed)
    if arrived(workflow, failed.epoch):
        return Next(steps=((Unit.FINISH, workflow.source or ""),))
    if workflow.kind is Kind.RESTORE and workflow.options.heal:
        rungs = _heal_rungs(workflow, failed, online, others)
        return next(rungs, _not_healed(workflow))
    if workflow.kind not in STOPPING or not workflow.source_stopped:
        return _before_the_stop(workflow, failed, others)
    if failed.unit in {Unit.RESUME, Unit.DISCARD}:
        return End(
            outcome=Outcome.FAILED,
            reason=f"{why(workflow)}; {_kept(workflow)} on {workflow.source}{_may_run(workflow)}",
            next_command=f"podferry resume {workflow.id}",
        )
    return next(_rungs(workflow, failed, ladder_of(workflow, default), online, others))


def may_go_elsewhere(workflow: Workflow) -> bool:
    """Whether what follows a failure of it may be a host that it was not on its way to."""
    if workflow.kind is Kind.MIGRATE:
        return workflow.source_stopped or workflow.options.anywhere
    return workflow.options.heal


def resume_steps(workflow: Workflow, online: Collection[str]) -> Steps:
    """Back on the source, once no other host can run a copy of ours."""
    return (*_cleaned(workflow, "", online), (Unit.RESUME, workflow.source or ""))


def _again(workflow: Workflow, failed: Step) -> Next | None:
    """The rest of the failed plan once more, where a passing reason may be gone by then."""
    tries = sum(
        (s.unit, s.host, s.state) == (failed.unit, failed.host, StepState.FAILED)
        for s in workflow.steps
    )
    passing = failed.error is not None and failed.error.type in PASSING
    given_up = workflow.cancel_requested and failed.unit not in {Unit.RESUME, Unit.DISCARD}
    # A checkpoint that failed half-way has its container stopped: that one first runs again.
    stopped = failed.unit is Unit.CHECKPOINT and workflow.source_stopped
    if not passing or given_up or stopped or tries > workflow.options.retries:
        return None
    if failed.unit in ONCE:
        return None
    rest = workflow.steps[workflow.steps.index(failed) :]
    steps = tuple((s.unit, s.host) for s in rest if s.epoch == failed.epoch)
    return Next(steps=steps, tries=tries)


def _before_the_stop(workflow: Workflow, failed: Step, others: Sequence[str]) -> Next | End:
    """The end, unless placement chose the target that refused, and may choose another one."""
    reason = why(workflow)
    if workflow.cancel_requested:
        return End(outcome=Outcome.CANCELLED, reason=reason)
    if workflow.kind is not Kind.MIGRATE:
        return End(outcome=Outcome.FAILED, reason=reason)
    anywhere = workflow.options.anywhere
    if anywhere and failed.host == workflow.target and not _late(failed):
        for host in _untried(workflow, others):
            steps = first_plan(workflow.model_copy(update={"target": host}))
            return Next(steps=steps, target=host)
    command = move_command(workflow, "" if anywhere else workflow.target or "")
    return End(outcome=Outcome.UNTOUCHED, reason=reason, next_command=command)


def _late(failed: Step) -> bool:
    return failed.error is not None and failed.error.type == DeadlineError.__name__


def _untried(workflow: Workflow, others: Sequence[str]) -> list[str]:
    tried = {step.host for step in workflow.steps if step.unit in CHOOSES_TARGET}
    return [host for host in others if host not in tried | {workflow.source}]


def move_command(workflow: Workflow, target: str) -> str:
    """The command that asks for a move, or a preflight, like this one."""
    cold = " --cold" if workflow.options.cold else ""
    to = f" --to {target}" if target else ""
    return f"podferry {workflow.kind} {workflow.workload}{to}{cold}"


def _rungs(
    workflow: Workflow,
    failed: Step,
    ladder: Sequence[Fallback],
    online: Sequence[str],
    others: Sequence[str],
) -> Iterator[Next]:
    """The rungs that are left, in their order; the last is always there."""
    late = _late(failed)
    if late and workflow.options.on_deadline is OnDeadline.COLD:
        ladder = () if _stays_live(workflow) else (Fallback.COLD,)
    elif late or workflow.cancel_requested or workflow.done(Unit.CHECKPOINT) is None:
        ladder = ()
    for rung in ladder:
        if rung is Fallback.ELSEWHERE and (failed.unit is not Unit.UP or workflow.options.cold):
            yield from _elsewhere(workflow, online, others)
        elif rung is Fallback.COLD:
            yield from _cold(workflow, online)
    yield Next(steps=resume_steps(workflow, online))


def _elsewhere(workflow: Workflow, online: Sequence[str], others: Sequence[str]) -> Iterator[Next]:
    source = workflow.source or ""
    for host in _untried(workflow, others):
        steps: Steps = (
            *_cleaned(workflow, host, online),
            (Unit.PREFLIGHT, host),
            (Unit.PUSH_IMAGE, source),
            (Unit.PULL_IMAGE, host),
            (back_by(workflow), host),
            (Unit.FINISH, source),
        )
        yield Next(steps=steps, target=host)


def _cold(workflow: Workflow, online: Collection[str]) -> Iterator[Next]:
    """A cold start on the host that was last found fit, if it lives; once, and never into a pod."""
    fit = workflow.done(Unit.PREFLIGHT)
    archived = workflow.done(Unit.CHECKPOINT) is not None
    tried = any(step.unit is Unit.UP for step in workflow.steps)
    if fit is None or fit.host not in online or not archived or tried or _in_pod(workflow):
        return
    up: Steps = ((Unit.UP, fit.host), (Unit.FINISH, workflow.source or ""))
    yield Next(steps=(*_cleaned(workflow, fit.host, online), *up), target=fit.host)


def _heal_rungs(
    workflow: Workflow, failed: Step, online: Sequence[str], others: Sequence[str]
) -> Iterator[Next]:
    """Of a workload whose host is dead: another host, then cold, then at least no copy is left."""
    if failed.unit is Unit.DISCARD:
        return
    if not (_late(failed) or workflow.cancel_requested):
        if failed.unit is not Unit.UP or workflow.options.cold:
            yield from _restored_elsewhere(workflow, online, others)
        yield from _healed_cold(workflow, online)
    if workflow.touched in online or workflow.permit:
        yield Next(steps=((Unit.DISCARD, workflow.touched or ""),))


def _restored_elsewhere(
    workflow: Workflow, online: Sequence[str], others: Sequence[str]
) -> Iterator[Next]:
    tried = {step.host for step in workflow.steps if step.unit is not Unit.DISCARD}
    for host in (host for host in others if host not in tried | {workflow.source}):
        restore: Steps = ((Unit.PULL_IMAGE, host), (back_by(workflow), host))
        yield Next(steps=(*_cleaned(workflow, host, online), *restore), target=host)


def _healed_cold(workflow: Workflow, online: Collection[str]) -> Iterator[Next]:
    """A cold start on the host that last had the image; never into a pod, and once only."""
    fit = [s.host for s in workflow.steps if s.unit is Unit.PULL_IMAGE and s.result]
    tried = any(step.unit is Unit.UP for step in workflow.steps)
    pod = workflow.group is GroupKind.POD or (workflow.parts is not None and workflow.parts.pod)
    for host in [host for host in reversed(fit) if host in online and not tried and not pod][:1]:
        yield Next(steps=(*_cleaned(workflow, host, online), (Unit.UP, host)), target=host)


def _not_healed(workflow: Workflow) -> End:
    return End(
        outcome=Outcome.CANCELLED if workflow.cancel_requested else Outcome.FAILED,
        reason=f"{why(workflow)}{_may_run(workflow)}",
        next_command=f"podferry heal {workflow.source}",
    )


def _kept(workflow: Workflow) -> str:
    cold = workflow.options.cold or workflow.kind is Kind.STOP
    return "it may be stopped" if cold else "the memory is kept"


def _may_run(workflow: Workflow) -> str:
    return f"; a copy may run on {workflow.permit}" if workflow.permit else ""


def left_behind(workflow: Workflow, steps: Steps, online: Collection[str]) -> str | None:
    """The host where parts of a copy may stay, for it is offline and ``steps`` pass it over.

    None of that can run: the host got no permit.
    """
    touched = workflow.touched
    passed_over = touched is not None and touched not in {host for _, host in steps}
    return touched if passed_over and touched not in {*online, workflow.permit} else None


def _cleaned(workflow: Workflow, next_host: str, online: Collection[str]) -> Steps:
    """First prove the host empty that may hold a copy, unless the next try itself does.

    One that is offline is waited for only if its copy may run: it got the end of the archive.
    """
    touched = workflow.touched
    waits = touched is not None and (touched in online or workflow.permit == touched)
    return ((Unit.DISCARD, touched),) if touched and waits and touched != next_host else ()


def _in_pod(workflow: Workflow) -> bool:
    """Whether its containers are in a pod, into which nothing is started cold."""
    described = workflow.done(Unit.DESCRIBE)
    return described is not None and bool(described.result.get("pod"))


def _left_over(workflow: Workflow, failed: Step) -> End:
    message = failed.error.message if failed.error else ""
    remove = "podman pod rm --force" if workflow.group is GroupKind.POD else "podman rm"
    return End(
        outcome=Outcome.COLD if workflow.done(Unit.UP) else Outcome.MOVED,
        reason=f"the old copy on {failed.host} was not removed: {message}",
        next_command=f"{remove} {workflow.workload}    # on {failed.host}",
    )
