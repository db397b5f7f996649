"""Have the store pruned now and then: whichever control worker is first in an interval asks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.models import now
from tasks.queues import CONTROL_QUEUE, RETENTION
from tasks.signing import Link
from tasks.turns import take_turn
from workers.repeating import Repeating

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from tasks.signing import Signer

LOOK_SECONDS = 30.0


def retention_timer(
    app: Celery, redis: Redis, *, every: timedelta, signer: Signer | None = None
) -> Repeating:
    """Sends one retention task per ``every``, over all control workers, until it is stopped."""

    def look() -> None:
        if take_turn(redis, "retention", every):
            # one that waits longer than the interval is taken over by the next
            seconds = every.total_seconds()
            link = Link(task=RETENTION, arguments={}, queue=CONTROL_QUEUE)
            headers = signer.headers([link], now() + every) if signer else {}
            app.send_task(RETENTION, queue=CONTROL_QUEUE, expires=seconds, headers=headers)

    seconds = min(LOOK_SECONDS, every.total_seconds())
    return Repeating("retention", look, every_seconds=seconds)
