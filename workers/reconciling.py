"""What drives workflows on: the bell that clients ring, and a look at forgotten ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.reconcile import answer, reconcile
from workers.repeating import Repeating

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from tasks.context import Context
    from tasks.registry import Registry

EVERY_SECONDS = 3.0
BELL_SECONDS = 1  # one wait for the bell; how long a worker's end may have to wait for it
TURN = "podferry:reconcile"


def reconcile_timer(app: Celery, context: Context, registry: Registry, redis: Redis) -> Repeating:
    """Reconciles every few seconds until it is stopped: of all control workers, one at a time."""

    def look() -> None:
        if redis.set(TURN, 1, nx=True, px=int(EVERY_SECONDS * 900)):
            reconcile(app, context, registry, redis)

    return Repeating("reconcile", look, every_seconds=EVERY_SECONDS)


def bell(app: Celery, context: Context) -> Repeating:
    """Answers the bell until it is stopped; each ring has one control worker's answer."""

    def look() -> None:
        answer(app, context, wait_seconds=BELL_SECONDS)

    return Repeating("bell", look, every_seconds=0)
