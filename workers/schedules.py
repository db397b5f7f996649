"""Let scheduled checkpoints begin: whichever control worker is first takes a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.locate import Locator
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedules import Schedules, fire_due
from workers.repeating import Repeating

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

LOOK_SECONDS = 2.0


def schedule_timer(app: Celery, redis: Redis, *, deadline_seconds: float) -> Repeating:
    """Looks for turns that have come, until it is stopped."""
    records, locator, schedules = Records(redis), Locator(Registry(redis)), Schedules(redis)

    def look() -> None:
        fire_due(app, records, locator, schedules, deadline_seconds=deadline_seconds)

    return Repeating("schedules", look, every_seconds=LOOK_SECONDS)
