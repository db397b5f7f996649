"""Small things that several units do with an engine."""

from __future__ import annotations

import time
from collections.abc import Iterable

from runtime import (
    CheckpointRuntime,
    ContainerInfo,
    ContainerNotFoundError,
    ContainerState,
    ExecFailedError,
    HealthCheck,
    ImageNotFoundError,
    VolumeInUseError,
)
from tasks.errors import InvalidRequestError, UnhealthyError
from tasks.step import Step

HEALTH_LABEL = "podferry.health"


def engine(step: Step) -> CheckpointRuntime:
    """This host's engine. Raises InvalidRequestError on a worker without one."""
    if step.context.runtime is None:
        raise InvalidRequestError("this worker has no container engine; it is a control worker")
    return step.context.runtime


def lookup(runtime: CheckpointRuntime, container: str) -> ContainerInfo | None:
    """A container, or None when the host has none of this name or id."""
    try:
        return runtime.inspect(container)
    except ContainerNotFoundError:
        return None


def image_present(runtime: CheckpointRuntime, name: str, image_id: str) -> bool:
    """Whether the host has this very image under this name, as a restore needs it."""
    try:
        return runtime.image(name).id == image_id
    except ImageNotFoundError:
        return False


def health_check(info: ContainerInfo) -> HealthCheck:
    """How to tell that a container is healthy: its label, its HEALTHCHECK, or that it runs."""
    command = info.spec.labels.get(HEALTH_LABEL)
    if command:
        return HealthCheck(command=("/bin/sh", "-c", command))
    return info.health or HealthCheck()


def wait_healthy(step: Step, container: str, *, restored: bool) -> None:
    """Probe a container until it is healthy. Raises UnhealthyError.

    A cold start is left alone for its start period; one restored with its memory started long ago.
    """
    runtime = engine(step)
    check = health_check(runtime.inspect(container))
    if not restored:
        time.sleep(check.start_period_seconds)
    for attempt in range(check.retries):
        if attempt:
            time.sleep(check.interval_seconds)
        step.check()
        info = runtime.inspect(container)
        if info.state is not ContainerState.RUNNING:
            raise UnhealthyError(info.name, f"it is {info.state} (exit code {info.exit_code})")
        if not check.command or _passes(runtime, container, check):
            return
    raise UnhealthyError(container, f"its check failed {check.retries} times")


def remove_copies(
    runtime: CheckpointRuntime, containers: Iterable[str], volumes: Iterable[str]
) -> tuple[str, ...]:
    """Remove containers and their volumes; return the volumes that others still use."""
    for container in containers:
        runtime.remove(container, force=True, volumes=True)
    kept = []
    for volume in volumes:
        try:
            runtime.remove_volume(volume)
        except VolumeInUseError:
            kept.append(volume)
    return tuple(kept)


def _passes(runtime: CheckpointRuntime, container: str, check: HealthCheck) -> bool:
    try:
        done = runtime.exec(container, check.command, timeout_seconds=check.timeout_seconds)
    except ExecFailedError:
        return False
    return done.exit_code == 0
