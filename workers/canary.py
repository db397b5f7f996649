"""Prove in the background that CRIU works on this worker's host, now and then."""

from __future__ import annotations

import threading

import structlog

from runtime import CanaryState, CheckpointRuntime
from tasks.registry import Registry

SOON_SECONDS = 60.0  # until the next try after one that failed or could not be made
STOP_SECONDS = 10.0  # a try takes about two
log = structlog.get_logger()


class CanaryWatch:
    """Tries at the start and every ``every_seconds``, and tells the registry, until ``stop``."""

    def __init__(
        self, registry: Registry, host: str, runtime: CheckpointRuntime, *, every_seconds: float
    ) -> None:
        self._registry = registry
        self._host = host
        self._runtime = runtime
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def start(self) -> None:
        """Begin; the first try is made at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the try that is under way."""
        self._over.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _repeat(self) -> None:
        while True:
            pause = self._every_seconds if self._try() else SOON_SECONDS
            if self._over.wait(pause):
                return

    def _try(self) -> bool:
        try:
            canary = self._runtime.canary()
            self._registry.report_canary(self._host, canary)
        except Exception as error:  # Redis is away: the next round tries again
            log.warning("canary not told", host=self._host, reason=str(error))
            return False
        if canary.state is not CanaryState.OK:
            log.warning("CRIU is not proven", host=self._host, reason=canary.reason)
        return canary.state is CanaryState.OK
