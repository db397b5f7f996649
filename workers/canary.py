"""Prove in the background that CRIU works on this worker's host, now and then."""

from __future__ import annotations

import structlog

from runtime import CanaryState, CheckpointRuntime
from tasks.registry import Registry
from workers.repeating import Repeating

SOON_SECONDS = 60.0  # until the next try after one that failed or could not be made
log = structlog.get_logger()


def canary_watch(
    registry: Registry, host: str, runtime: CheckpointRuntime, *, every_seconds: float
) -> Repeating:
    """Tries at the start and every ``every_seconds``, and tells the registry, until stopped."""

    def attempt() -> float:
        canary = runtime.canary()
        registry.report_canary(host, canary)
        if canary.state is CanaryState.OK:
            return every_seconds
        log.warning("CRIU is not proven", host=host, reason=canary.reason)
        return min(SOON_SECONDS, every_seconds)

    return Repeating("canary", attempt, every_seconds=min(SOON_SECONDS, every_seconds))
