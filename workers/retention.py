"""Have the store pruned now and then: whichever control worker is first in an interval asks."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tasks.queues import CONTROL_QUEUE, RETENTION
from tasks.retention import take_turn

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

LOOK_SECONDS = 30.0
STOP_SECONDS = 5.0
log = structlog.get_logger()


class RetentionTimer:
    """Sends one retention task per ``every``, over all control workers, until ``stop``."""

    def __init__(self, app: Celery, redis: Redis, *, every: timedelta) -> None:
        self._app = app
        self._redis = redis
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def start(self) -> None:
        """Begin; the first turn may be taken at once."""
        self._thread.start()

    def stop(self) -> None:
        """End; a task that was sent goes on."""
        self._over.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _repeat(self) -> None:
        while True:
            self._look()
            if self._over.wait(min(LOOK_SECONDS, self._every.total_seconds())):
                return

    def _look(self) -> None:
        try:
            if take_turn(self._redis, self._every):
                # one that waits longer than the interval is taken over by the next
                seconds = self._every.total_seconds()
                self._app.send_task(RETENTION, queue=CONTROL_QUEUE, expires=seconds)
        except Exception as error:  # Redis is away: the next look tries again
            log.warning("retention not asked for", reason=str(error))
