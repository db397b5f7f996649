"""Drive workflows on: those that a client rang for at once, and those that nobody drives any more.

Messages get lost and workers die; the record tells. ``due`` is pure: what a workflow needs at a
moment, if anything. Whatever it says may be done twice, by two control workers at once: each act is
a change of the record by compare-and-set, or a message that a step refuses when it comes late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from tasks.drains.driving import Driver
from tasks.drains.models import PREFIX, Drain
from tasks.errors import (
    CancelledError,
    DeadlineError,
    HostOfflineError,
    LeaseLostError,
    SupersededError,
    TasksError,
)
from tasks.models import Event, EventType, State, Step, StepError, StepState, Unit, Workflow, now
from tasks.turns import keep_turn, take_turn
from tasks.workflows import fall_back, publish, release, start

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from tasks.context import Context
    from tasks.registry import Registry

# How long a message may be on its way, or in the queue of a worker that is busy.
LOST_AFTER = timedelta(seconds=15)
# How long a step waits for a host that is offline; where memory or an old copy is, longer.
OFFLINE_PATIENCE = timedelta(seconds=60)
HOME_PATIENCE = timedelta(minutes=10)
# How often a drain is looked at for which nobody rings.
LOOK = timedelta(seconds=10)
DEADLINE_LOOK = timedelta(seconds=2)
HOME = frozenset({Unit.RESUME, Unit.FINISH})
BACK = HOME | {Unit.DISCARD}
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Start:
    """It has no plan yet."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Its plan waited for a moment that has come."""


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A step waits for its message: send what is left of the plan."""


@dataclass(frozen=True, kw_only=True)
class Fail:
    """A step cannot go on: it has failed, for this reason."""

    index: int
    error: Exception


@dataclass(frozen=True, kw_only=True)
class Decide:
    """A step has failed and nobody took the next rung."""


Due = Start | Release | Ring | Fail | Decide


def due(
    workflow: Workflow,
    online: Collection[str],
    moment: datetime,
    *,
    lost_after: timedelta = LOST_AFTER,
) -> Due | None:
    """What a workflow needs at a moment, of which the ``online`` hosts are known."""
    if workflow.state is State.ENDED:
        return None
    if not workflow.steps:
        when = workflow.not_before or workflow.created + lost_after
        return Start() if moment >= when else None
    current = [(i, s) for i, s in enumerate(workflow.steps) if s.epoch == workflow.epoch]
    for index, step in current:
        if step.lapsed:
            return Fail(index=index, error=LeaseLostError(step.host))
    if any(step.state is StepState.RUNNING for _, step in current):
        return None
    failed = [s for _, s in current if s.state is StepState.FAILED]
    if failed:
        return Decide() if _since(failed[-1].ended, moment) >= lost_after else None
    if workflow.not_before is not None:
        return Release() if moment >= workflow.not_before else None
    waiting = next(((i, s) for i, s in current if s.state is StepState.PENDING), None)
    return _waiting(workflow, *waiting, online, moment, lost_after) if waiting else None


def _waiting(
    workflow: Workflow,
    index: int,
    step: Step,
    online: Collection[str],
    moment: datetime,
    lost_after: timedelta,
) -> Due | None:
    before = workflow.steps[index - 1] if index else None
    same_plan = before is not None and before.epoch == step.epoch
    waited = _since(before.ended if before and same_plan else workflow.planned, moment)
    if step.host not in online:
        patience = HOME_PATIENCE if step.unit in HOME else OFFLINE_PATIENCE
        return Fail(index=index, error=HostOfflineError(step.host)) if waited > patience else None
    if workflow.overdue(step.unit, moment):
        return Fail(index=index, error=DeadlineError())
    if workflow.cancel_requested and step.unit not in BACK:  # a host asked for it
        return Fail(index=index, error=CancelledError())
    return Ring() if waited >= lost_after else None


def _since(began: datetime | None, moment: datetime) -> timedelta:
    return moment - began if began else timedelta()


def answer(app: Celery, context: Context, *, wait_seconds: int) -> None:
    """Wait for the next workflow that was rung for, and do what it needs."""
    rung = context.records.rung(wait_seconds=wait_seconds)
    if rung is None:
        return
    if rung.startswith(PREFIX):
        drive(context, rung)
        return
    workflow = context.records.get(rung)
    if workflow.state is State.ENDED:
        context.records.settle(rung)
        return
    found = due(workflow, workflow.hosts, now(), lost_after=timedelta())
    if found is not None:
        _act(app, context, workflow, found)


def reconcile(app: Celery, context: Context, registry: Registry, redis: Redis) -> None:
    """Look at every workflow that has not ended, and do what is due."""
    online = registry.online()
    for workflow in context.records.unsettled(known_only=True):
        try:
            _drive_on(app, context, redis, workflow, online)
        except RedisError:
            raise
        except Exception as error:  # what hosts tell of one must not hold up the others
            log.exception("not driven on", workflow=workflow.id, reason=str(error))


def _drive_on(
    app: Celery, context: Context, redis: Redis, workflow: Workflow, online: Collection[str]
) -> None:
    if workflow.state is State.ENDED:
        context.records.settle(workflow.id)
        return
    found = due(workflow, online, now())
    # It may have been done a moment ago, and a message still wait in a queue.
    if found is not None and take_turn(redis, _turn(workflow, found), LOST_AFTER):
        log.info("driven on", workflow=workflow.id, due=type(found).__name__)
        _act(app, context, workflow, found)


def reconcile_drains(context: Context, redis: Redis) -> None:
    """Drive every drain on that nobody has rung for: hosts come and go, deadlines pass.

    One whose turn has not come is not read: it may be long, and one of a hundred.
    """
    for drain_id in context.drains.live_ids() if context.drains else ():
        if take_turn(redis, drain_id, DEADLINE_LOOK):
            driven = drive(context, drain_id)
            if driven is None or driven.deadline is None:
                keep_turn(redis, drain_id, LOOK)


def drive(context: Context, drain_id: str) -> Drain | None:
    """Do what a drain needs now; return it as it is then.

    One that cannot be driven does not hold the others up: None.
    """
    if context.drains is None or context.registry is None:
        return None
    try:
        return Driver(context.drains, context.records, context.registry).drive(drain_id)
    except TasksError as error:
        log.warning("drain not driven on", drain=drain_id, reason=str(error))
        return None


def _turn(workflow: Workflow, found: Due) -> str:
    """The name of what is due.

    Of two steps that run side by side, each may fail; what is parked is looked at again and again.
    """
    step = f":{found.index}" if isinstance(found, Fail) else ""
    parked = workflow.not_before if isinstance(found, Start) else None
    again = f":{parked.timestamp():.0f}" if parked else ""
    return f"{workflow.id}:{workflow.epoch}:{type(found).__name__}{step}{again}"


def _act(app: Celery, context: Context, workflow: Workflow, found: Due) -> None:
    match found:
        case Start():
            start(app, context, workflow.id)
        case Release():
            release(app, context, workflow.id, workflow.epoch)
        case Ring():
            publish(app, workflow, context.signer)
        case Decide():
            fall_back(app, context, workflow.id, workflow.epoch)
        case Fail(index=index, error=error):
            if _failed(context, workflow, index, error):
                fall_back(app, context, workflow.id, workflow.epoch)


def _failed(context: Context, seen: Workflow, index: int, error: Exception) -> bool:
    """Mark a step as failed, if it is as it was seen."""
    failure = StepError(type=type(error).__name__, message=str(error))

    def change(workflow: Workflow) -> Workflow:
        step = workflow.steps[index]
        same = (step.owner, step.epoch) == (seen.steps[index].owner, workflow.epoch)
        if not same or not (step.lapsed or step.state is StepState.PENDING):
            raise SupersededError(workflow.id, index, "it goes on after all")
        return workflow.with_step(index, step.failed(failure))

    try:
        context.records.update(seen.id, change)
    except SupersededError:
        return False
    step = seen.steps[index]
    lost = Event(type=EventType.FAILED, unit=step.unit, host=step.host, message=failure.message)
    context.records.log(seen.id, lost)
    return True
