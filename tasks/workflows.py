"""Workflows over the units: publish a plan as a chain, and fall back when it fails."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from celery import chain, signature

from tasks.control import leave_behind
from tasks.errors import CancelledError, InvalidRequestError, LeaseLostError, SupersededError
from tasks.ladder import End, Next, after_failure, may_go_elsewhere, move_command
from tasks.models import (
    Event,
    EventType,
    Kind,
    OnDeadline,
    Outcome,
    State,
    Step,
    StepError,
    StepState,
    Unit,
    Workflow,
    now,
)
from tasks.placing import Placer
from tasks.plans import end, first_plan, planned
from tasks.queues import CONTROL_QUEUE, FALL_BACK, declare, host_queue, unit_task
from tasks.signing import Link, expiry
from tasks.step import announce_end

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature

    from tasks.context import Context
    from tasks.registry import Registry
    from tasks.signing import Signer

PAUSE_SECONDS = 2.0  # before the first new try of a step
LONGEST_PAUSE_SECONDS = 60.0
OVERTIME_SECONDS = 60.0
PARKED = timedelta(seconds=10)  # between two tries to place what no host fits
LATE_SECONDS = 3600.0  # where work may go on past the deadline
log = structlog.get_logger()


def start(app: Celery, context: Context, workflow_id: str) -> None:
    """Plan a queued workflow and publish its chain. A repeated message changes nothing."""
    workflow = begin(context, workflow_id)
    if workflow is not None:
        publish(app, workflow, context.signer)


def fall_back(app: Celery, context: Context, workflow_id: str, epoch: int) -> None:
    """Take the next rung after a failed step of this epoch, or end the workflow.

    It may be called twice for one failure or for a plan long gone: the epoch tells. Of two steps
    that run side by side, the one that ends last has it called again.
    """
    workflow = decide(context, workflow_id, epoch)
    if workflow is not None and workflow.not_before is None:
        publish(app, workflow, context.signer)


def begin(context: Context, workflow_id: str) -> Workflow | None:
    """Give a queued workflow its first plan; None when it has one already."""

    def change(workflow: Workflow) -> Workflow:
        if workflow.steps or workflow.state is not State.QUEUED:
            raise SupersededError(workflow_id, 0, "it has started already")
        if workflow.cancel_requested:
            return end(workflow, Outcome.CANCELLED, str(CancelledError()))
        return planned(workflow, first_plan(workflow))

    try:
        if context.records.get(workflow_id).options.anywhere and context.registry is not None:
            return _begin_somewhere(context, context.registry, workflow_id)
        workflow = context.records.update(workflow_id, change)
        announce_end(context, workflow)
        return workflow if workflow.steps else None
    except SupersededError as error:
        log.info("start refused", workflow=workflow_id, reason=str(error))
        return None


def _begin_somewhere(context: Context, registry: Registry, workflow_id: str) -> Workflow | None:
    """Give a workflow a target and its first plan; None when it is parked, for no host fits.

    The workload runs on meanwhile, untouched.
    """
    placer = Placer(context.records, registry)

    def change(workflow: Workflow) -> Workflow:
        if workflow.steps or workflow.state is not State.QUEUED:
            raise SupersededError(workflow_id, 0, "it has started already")
        need, placement = placer.place(workflow)
        if placement.host is None:
            return _parked(workflow, placement.why_not)
        fields = {"target": placement.host, "need": need, "not_before": None, "reason": ""}
        placed = workflow.model_copy(update=fields)
        return planned(placed, first_plan(placed))

    with registry.placing():
        workflow = context.records.update(workflow_id, change, placing=True)
    announce_end(context, workflow)
    return workflow if workflow.steps else None


def _parked(workflow: Workflow, reason: str) -> Workflow:
    moment = now()
    if moment >= workflow.deadline:
        return end(workflow, Outcome.UNTOUCHED, reason, move_command(workflow, ""))
    again = min(moment + PARKED, workflow.deadline)
    return workflow.model_copy(update={"not_before": again, "reason": reason})


def _fitting(context: Context, workflow: Workflow) -> tuple[str, ...] | None:
    """The hosts that its workload may go to instead, the best first; None: nobody knows."""
    if context.registry is None or not may_go_elsewhere(workflow):
        return None
    try:
        return Placer(context.records, context.registry).place(workflow)[1].fitting
    except InvalidRequestError as error:
        log.warning("not placed", workflow=workflow.id, reason=str(error))
        return ()


def decide(context: Context, workflow_id: str, epoch: int) -> Workflow | None:
    """Give a workflow with a failed step its next plan, or its end; None when nothing follows."""
    taken: list[Next | End] = []
    alive = context.registry.online() if context.registry else None

    def change(workflow: Workflow) -> Workflow:
        if workflow.epoch != epoch or workflow.state is State.ENDED:
            raise SupersededError(workflow_id, len(workflow.steps), "its plan was given up")
        if any(step.live for step in workflow.steps if step.epoch == epoch):
            raise SupersededError(workflow_id, len(workflow.steps), "another step still runs")
        workflow = _without_lost(workflow)
        online = workflow.hosts if alive is None else alive
        fitting = _fitting(context, workflow)
        taken[:] = [
            after_failure(workflow, default=context.fallback, online=online, fitting=fitting)
        ]
        step = taken[0]
        if isinstance(step, Next):
            leave_behind(context.records, workflow, step.steps, online)
        elif workflow.kind is Kind.RESTORE:
            leave_behind(context.records, workflow, (), online)
        if isinstance(step, End):
            return end(workflow, step.outcome, step.reason, step.next_command)
        fields = {
            "target": step.target or workflow.target,
            "not_before": now() + _pause(step.tries) if step.tries else None,
        }
        return planned(workflow, step.steps).model_copy(update=fields)

    try:
        workflow = context.records.update(workflow_id, change, placing=True)
    except SupersededError as error:
        log.info("fall back refused", workflow=workflow_id, reason=str(error))
        return None
    if isinstance(taken[0], End):
        announce_end(context, workflow)
        return None
    units = " → ".join(f"{unit} on {host}" for unit, host in taken[0].steps)
    message = f"{'again' if taken[0].tries else 'next'}: {units}"
    context.records.log(workflow_id, Event(type=EventType.FALLBACK, message=message))
    log.info("plan failed", workflow=workflow_id, follows=message)
    return workflow


def _without_lost(workflow: Workflow) -> Workflow:
    """The workflow with those steps failed of which no worker gives a sign of life."""
    for index, step in enumerate(workflow.steps):
        if step.lapsed:
            error = LeaseLostError(step.host)
            failure = StepError(type=type(error).__name__, message=str(error))
            workflow = workflow.with_step(index, step.failed(failure))
    return workflow


def release(app: Celery, context: Context, workflow_id: str, epoch: int) -> None:
    """Publish a plan whose pause is over; once."""

    def change(workflow: Workflow) -> Workflow:
        if workflow.epoch != epoch or workflow.not_before is None:
            raise SupersededError(workflow_id, 0, "its pause is over already")
        return workflow.model_copy(update={"not_before": None, "planned": now()})

    with suppress(SupersededError):
        publish(app, context.records.update(workflow_id, change), context.signer)


def _pause(tries: int) -> timedelta:
    """Exponential, with jitter: those that failed together do not come back together."""
    longest: float = min(PAUSE_SECONDS * 2 ** (tries - 1), LONGEST_PAUSE_SECONDS)
    return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311


def publish(app: Celery, workflow: Workflow, signer: Signer | None = None) -> None:
    """Send the chain of the newest plan, up to the step that lets the next ones begin early."""
    steps = _pending(workflow)
    early = [i for i, step in steps if step.unit is Unit.CHECKPOINT]
    headers = _signed(workflow, [i for i, _ in steps], signer) if signer else {}
    _send(app, workflow, [i for i, _ in steps if not early or i <= early[0]], headers)


def go_on(
    app: Celery,
    context: Context,
    workflow_id: str,
    index: int,
    epoch: int,
    headers: Mapping[str, object],
) -> None:
    """Send the steps after one that is ready for them, unless they are under way.

    Called when it is ready, and again when it has ended: then also to fall back, if what followed
    it has failed meanwhile. ``headers`` came with it, and go with them.
    """
    workflow = context.records.get(workflow_id)
    after = [i for i, step in enumerate(workflow.steps) if i > index and step.epoch == epoch]
    if workflow.epoch != epoch or not after:
        return
    if workflow.steps[after[0]].state is StepState.FAILED:
        _failed(app, workflow, headers).apply_async()
    elif workflow.steps[after[0]].state is StepState.PENDING:
        _send(app, workflow, after, headers)


def _pending(workflow: Workflow) -> list[tuple[int, Step]]:
    return [
        (index, step)
        for index, step in enumerate(workflow.steps)
        if step.epoch == workflow.epoch and step.state is StepState.PENDING
    ]


def _signed(workflow: Workflow, indexes: Iterable[int], signer: Signer) -> dict[str, object]:
    """The headers of a plan: any of its links may be sent with them, and the way back from it.

    A look at the source may turn a move cold after that.
    """
    steps = [(index, workflow.steps[index]) for index in indexes]
    cold = [(i, s.model_copy(update={"unit": Unit.UP})) for i, s in steps if s.unit is Unit.RESTORE]
    links = [
        Link(
            task=unit_task(step.unit),
            arguments=_arguments(workflow, index),
            queue=host_queue(step.host),
        )
        for index, step in (*steps, *cold)
    ]
    links.append(Link(task=FALL_BACK, arguments=_arguments(workflow), queue=CONTROL_QUEUE))
    return signer.headers(links, expiry(workflow))


def _arguments(workflow: Workflow, index: int | None = None) -> dict[str, object]:
    """What a task is told: its workflow, the plan, and, but for ``fall_back``, the step."""
    step = {} if index is None else {"step": index}
    return {"workflow_id": workflow.id, **step, "epoch": workflow.epoch}


def _failed(app: Celery, workflow: Workflow, headers: Mapping[str, object]) -> Signature[Any]:
    """What has a control worker take the next rung."""
    return signature(
        FALL_BACK,
        kwargs=_arguments(workflow),
        immutable=True,
        queue=CONTROL_QUEUE,
        headers=dict(headers),
        app=app,
    )


def _send(
    app: Celery, workflow: Workflow, indexes: list[int], headers: Mapping[str, object]
) -> None:
    """Send a chain of steps; a failing link has ``fall_back`` called on control."""
    declare(app, workflow.hosts)
    left = max(1.0, (workflow.deadline - now()).total_seconds())
    late = workflow.options.on_deadline is not OnDeadline.ABORT
    links = [
        signature(
            unit_task(workflow.steps[index].unit),
            kwargs=_arguments(workflow, index),
            immutable=True,
            headers=dict(headers),
            queue=host_queue(workflow.steps[index].host),
            # only for what hangs: a step watches the deadline itself
            soft_time_limit=left + (LATE_SECONDS if late else OVERTIME_SECONDS),
            app=app,
        )
        for index in indexes
    ]
    chain(*links, app=app).apply_async(link_error=_failed(app, workflow, headers))
