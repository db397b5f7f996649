"""Drive forgotten workflows on: of all control workers, one looks at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.reconcile import reconcile
from workers.repeating import Repeating

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from tasks.context import Context
    from tasks.registry import Registry

EVERY_SECONDS = 3.0
TURN = "podferry:reconcile"


def reconcile_timer(app: Celery, context: Context, registry: Registry, redis: Redis) -> Repeating:
    """Reconciles every few seconds until it is stopped."""

    def look() -> None:
        if redis.set(TURN, 1, nx=True, px=int(EVERY_SECONDS * 900)):
            reconcile(app, context, registry, redis)

    return Repeating("reconcile", look, every_seconds=EVERY_SECONDS)
