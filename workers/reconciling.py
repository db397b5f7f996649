"""What drives workflows on: the bell that clients ring, and a look at forgotten ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.reconcile import answer, reconcile, reconcile_drains
from tasks.turns import take_turn
from workers.repeating import Repeating

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from tasks.context import Context
    from tasks.registry import Registry

EVERY = timedelta(seconds=3)
BELL_SECONDS = 1  # one wait for the bell; how long a worker's end may have to wait for it


def reconcile_timer(app: Celery, context: Context, registry: Registry, redis: Redis) -> Repeating:
    """Reconciles every few seconds until it is stopped: of all control workers, one at a time."""

    def look() -> None:
        if take_turn(redis, "reconcile", EVERY * 0.9):
            reconcile(app, context, registry, redis)
            reconcile_drains(context, redis)

    return Repeating("reconcile", look, every_seconds=EVERY.total_seconds())


def bell(app: Celery, context: Context) -> Repeating:
    """Answers the bell until it is stopped; each ring has one control worker's answer."""

    def look() -> None:
        answer(app, context, wait_seconds=BELL_SECONDS)

    return Repeating("bell", look, every_seconds=0)
