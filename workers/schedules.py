"""Let scheduled checkpoints begin: whichever control worker is first takes a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tasks.errors import TasksError
from tasks.locate import Locator
from tasks.models import Increment, Options, now
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedules import Schedules, checkpoint_workflow
from workers.repeating import Repeating

if TYPE_CHECKING:
    from redis import Redis

LOOK_SECONDS = 2.0
log = structlog.get_logger()


def schedule_timer(redis: Redis, *, deadline_seconds: float) -> Repeating:
    """Looks for turns that have come, until it is stopped."""
    records, locator, schedules = Records(redis), Locator(Registry(redis)), Schedules(redis)

    def look() -> None:
        fire_due(records, locator, schedules, deadline_seconds=deadline_seconds)

    return Repeating("schedules", look, every_seconds=LOOK_SECONDS)


def fire_due(
    records: Records,
    locator: Locator,
    schedules: Schedules,
    *,
    deadline_seconds: float,
) -> None:
    """Submit a checkpoint for every schedule whose turn has come.

    Where that is refused (the workload is busy, stopped, or on no host that is online) the turn is
    skipped and noted. Several may call this at once.
    """
    for schedule in schedules.all():
        moment = now()
        taken = schedules.take_turn(schedule, moment) if schedule.next <= moment else None
        if taken is None:
            continue
        try:
            place = locator.locate(taken.workload, taken.host)
            options = Options(incremental=Increment.AUTO)
            workflow = checkpoint_workflow(place, options, deadline_seconds)
            records.create(workflow)
        except TasksError as error:
            log.info("turn skipped", workload=taken.workload, reason=str(error))
            schedules.note(taken, note=f"skipped at {moment:%H:%M:%S} UTC: {error}")
        else:
            schedules.note(taken, last=workflow.id)
