"""Something that a worker does again and again in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

STOP_SECONDS = 5.0
AGAIN_SECONDS = 1.0  # at least so long after a failure
log = structlog.get_logger()


class Repeating:
    """Does ``act`` every so many seconds until ``stop``; a failure is logged, and tried again.

    ``act`` may return another number of seconds until the next time.
    """

    def __init__(self, name: str, act: Callable[[], float | None], *, every_seconds: float) -> None:
        self._name = name
        self._act = act
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Begin; it is done at once for the first time."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was begun goes on for a moment."""
        self._over.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _repeat(self) -> None:
        while not self._over.wait(self._once()):
            pass

    def _once(self) -> float:
        try:
            return self._act() or self._every_seconds
        except Exception as error:  # Redis is away: the next time tries again
            log.warning(f"{self._name} failed", reason=str(error))
            return max(AGAIN_SECONDS, self._every_seconds)
