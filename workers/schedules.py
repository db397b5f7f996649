"""Let what is scheduled begin, and follow it to its end: one control worker takes each turn.

A run is written down before anything is begun, with the id of what it begins. So one whose control
worker died is begun again by another, and one that was begun already is not begun twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from tasks.actions import CheckpointAction, DrainAction, RetentionAction
from tasks.drains.models import DrainOptions
from tasks.drains.records import Drains
from tasks.drains.requests import begin_drain, begin_homecoming
from tasks.errors import HostBusyError, HostOfflineError, InvalidRequestError, TasksError
from tasks.locate import Locator
from tasks.models import Increment, Model, OnDeadline, Options, now
from tasks.queues import CONTROL_QUEUE, RETENTION
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedule import Run, RunState, Schedule
from tasks.schedules import Schedules, checkpoint_workflow
from workers.repeating import Repeating

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

LOOK_SECONDS = 2.0
FOLLOW = timedelta(seconds=5)  # between two looks at what was begun
RETENTION_LOST = timedelta(hours=1)
HOME_PATIENCE = timedelta(days=1)
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """What actions work with."""

    app: Celery
    records: Records
    registry: Registry
    drains: Drains
    deadline_seconds: float

    @property
    def locator(self) -> Locator:
        """Where workloads are."""
        return Locator(self.registry)


@dataclass(frozen=True, kw_only=True)
class Doing:
    """How an action is done.

    ``begin`` makes something whose id is the run's; it may be called again for the same run, and
    then must not make it twice. A TasksError skips the run. ``follow`` is called every now and then
    from then on: it returns the run as it is (look again soon), ``run.again(at)`` or ``run.over``.
    """

    begin: Callable[[Scheduling, Any, Run], None]
    follow: Callable[[Scheduling, Any, Run], Run]


def begin_checkpoint(scheduling: Scheduling, action: CheckpointAction, run: Run) -> None:
    """Submit it. Raises UnknownContainerError, AmbiguousContainerError, WorkloadBusyError."""
    if scheduling.records.known(run.id):
        return
    place = scheduling.locator.locate(action.workload, action.host)
    options = Options(incremental=Increment.AUTO)
    workflow = checkpoint_workflow(place, options, scheduling.deadline_seconds)
    scheduling.records.create(workflow.model_copy(update={"id": run.id}))


def follow_checkpoint(scheduling: Scheduling, _: CheckpointAction, run: Run) -> Run:
    """Its outcome, when there is one. Raises WorkflowNotFoundError."""
    workflow = scheduling.records.get(run.id)
    return run if workflow.outcome is None else run.over(workflow.outcome, note=workflow.reason)


def begin_retention(scheduling: Scheduling, _: RetentionAction, run: Run) -> None:
    """Send the task; pruning twice does no harm."""
    seconds = RETENTION_LOST.total_seconds()
    scheduling.app.send_task(RETENTION, queue=CONTROL_QUEUE, task_id=run.id, expires=seconds)


def follow_retention(scheduling: Scheduling, _: RetentionAction, run: Run) -> Run:
    """Its outcome, when the task has one."""
    task = scheduling.app.AsyncResult(run.id)
    if task.ready():
        return (
            run.over("pruned") if task.successful() else run.over("failed", note=str(task.result))
        )
    waited = now() - run.planned > 2 * RETENTION_LOST
    return run.over("lost", note="nobody took the task") if waited else run


def begin_scheduled_drain(scheduling: Scheduling, action: DrainAction, run: Run) -> None:
    """Begin it; what belongs to the host stays. Raises what ``begin_drain`` raises."""
    if scheduling.drains.known(run.id):
        return
    options = DrainOptions(on_deadline=action.on_deadline, ignore_system=True)
    if action.max_parallel is not None:
        options = options.model_copy(update={"max_parallel": action.max_parallel})
    begin_drain(
        scheduling.drains,
        scheduling.registry,
        action.host,
        options,
        deadline_seconds=action.deadline.total_seconds() if action.deadline else None,
        reason=f"scheduled for {run.planned:%Y-%m-%d %H:%M} UTC",
        drain_id=run.id,
    )


def follow_scheduled_drain(scheduling: Scheduling, action: DrainAction, run: Run) -> Run:
    """Its result; before that, when it is time, bring home what has left.

    A host that is offline or busy then is waited for, a day. Raises DrainNotFoundError, and what
    else ``begin_homecoming`` raises.
    """
    away, home_id = scheduling.drains.get(run.id), f"{run.id}-home"
    if away.ended is None or away.result is None:
        return run
    if action.bring_back_after is None:
        return run.over(away.result)
    if scheduling.drains.known(home_id):
        home = scheduling.drains.get(home_id)
        return run if home.result is None else run.over(f"{away.result}, home: {home.result}")
    begins = away.ended + action.bring_back_after
    if now() < begins:
        return run.again(begins)
    try:
        begin_homecoming(
            scheduling.drains,
            scheduling.registry,
            action.host,
            scheduling.locator.fresh(),
            DrainOptions(on_deadline=OnDeadline.ABORT),
            drain_id=home_id,
        )
    except (HostOfflineError, HostBusyError) as error:  # it may be starting up still
        if now() > begins + HOME_PATIENCE:
            return run.over(away.result, note=f"nothing was brought home: {error}")
    return run


# How each action is done; the client refuses what is not here.
DOINGS: dict[type[Model], Doing] = {
    CheckpointAction: Doing(begin=begin_checkpoint, follow=follow_checkpoint),
    RetentionAction: Doing(begin=begin_retention, follow=follow_retention),
    DrainAction: Doing(begin=begin_scheduled_drain, follow=follow_scheduled_drain),
}


def require_doable(action: Model) -> None:
    """Raises InvalidRequestError when no control worker of this version could do it."""
    if type(action) not in DOINGS:
        raise InvalidRequestError(f"{action} cannot be scheduled by this version")


def schedule_timer(app: Celery, redis: Redis, *, deadline_seconds: float) -> Repeating:
    """Looks for turns that have come, until it is stopped."""
    schedules = Schedules(redis)
    scheduling = Scheduling(
        app=app,
        records=Records(redis),
        registry=Registry(redis),
        drains=Drains(redis),
        deadline_seconds=deadline_seconds,
    )

    def look() -> None:
        schedules.adopt()
        fire_due(scheduling, schedules)

    return Repeating("schedules", look, every_seconds=LOOK_SECONDS)


def fire_due(scheduling: Scheduling, schedules: Schedules) -> None:
    """Go on with every run whose time has come. Several may call this at once.

    A schedule that cannot be read keeps no other from its turn.
    """
    for name in schedules.awake(now()):
        try:
            while (taken := schedules.take(name, now())) is not None:
                schedule, run = taken
                schedules.tell(name, run, _went_on(scheduling, schedule, run))
        except Exception as error:
            log.warning("schedule failed", schedule=name, reason=str(error))


def _went_on(scheduling: Scheduling, schedule: Schedule, run: Run) -> Run:
    """The run after the next thing that is to be done for it."""
    asked = run.state is RunState.ASKED
    try:
        require_doable(schedule.action)
        doing = DOINGS[type(schedule.action)]
        if asked:
            doing.begin(scheduling, schedule.action, run)
            log.info("run begun", schedule=schedule.name, run=run.id)
            return run.again(now() + FOLLOW)
        followed = doing.follow(scheduling, schedule.action, run)
    except TasksError as error:
        log.info("run skipped", schedule=schedule.name, run=run.id, reason=str(error))
        return run.over(state=RunState.SKIPPED if asked else RunState.ENDED, note=str(error))
    return run.again(now() + FOLLOW) if followed == run else followed
