"""Small things that several units do with an engine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait

from runtime import (
    CheckpointRuntime,
    ContainerInfo,
    ContainerNotFoundError,
    ContainerState,
    ExecFailedError,
    HealthCheck,
    ImageNotFoundError,
    RunSpec,
    VolumeInUseError,
)
from tasks.errors import InvalidRequestError, UnhealthyError
from tasks.step import Step

HEALTH_LABEL = "podferry.health"
SLICE_SECONDS = 0.2  # how soon a wait hears of a cancel


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


def health_check(container: str, spec: RunSpec) -> HealthCheck:
    """How to tell that a container is healthy: its label, its HEALTHCHECK, or that it runs.

    The label is a shell command, or a compose file's ``healthcheck`` as JSON. Raises
    InvalidRequestError for one that is neither.
    """
    label = spec.labels.get(HEALTH_LABEL, "").strip()
    if not label.startswith('{"'):  # no shell command begins so
        shell = HealthCheck(command=("/bin/sh", "-c", label))
        return shell if label else spec.health or HealthCheck()
    try:
        return HealthCheck.from_compose(json.loads(label))
    except ValueError as error:
        raise InvalidRequestError(f"label {HEALTH_LABEL} of {container!r}: {error}") from error


def wait_healthy(step: Step, container: str, *, restored: bool) -> None:
    """Probe a container until it is healthy. Raises UnhealthyError, and what ``step.check`` does.

    Docker's rules, with two differences that make nothing unhealthy that Docker would not: a
    container that was restored started long ago, so that it is asked at once and each failure
    counts; one that was started cold is asked every ``start_interval_seconds`` until Docker would
    ask first, after one interval, even without a start period.
    """
    runtime = engine(step)
    info = runtime.inspect(container)
    check = health_check(info.name, info.spec)
    early = min(check.start_interval_seconds, check.interval_seconds)
    counted_from = time.monotonic()
    if check.command and not restored:
        counted_from += max(check.start_period_seconds, check.interval_seconds)
        _pause(step, early)
    failures = 0
    while True:
        step.check()
        asked = time.monotonic()
        complaint = _complaint(step, runtime, container, check)
        if not complaint:
            return
        failures += asked >= counted_from
        if failures >= check.retries:
            reason = f"its check failed {failures} times in a row, the last because {complaint}"
            raise UnhealthyError(info.name, reason)
        left = counted_from - time.monotonic()
        _pause(step, min(left, early) if left > 0 else check.interval_seconds)


def remove_copies(
    runtime: CheckpointRuntime,
    containers: Iterable[str],
    volumes: Iterable[str],
    *,
    pod: str = "",
) -> tuple[str, ...]:
    """Remove containers, their pod and volumes; return the volumes that others still use."""
    for container in containers:
        runtime.remove(container, force=True, volumes=True)
    if pod:
        runtime.remove_pod(pod)
    kept = []
    for volume in volumes:
        try:
            runtime.remove_volume(volume)
        except VolumeInUseError:
            kept.append(volume)
    return tuple(kept)


def _complaint(step: Step, runtime: CheckpointRuntime, container: str, check: HealthCheck) -> str:
    """Probe once; say what is wrong, nothing when it is healthy.

    Raises UnhealthyError when the container does not run. The command runs in a thread, so that a
    cancel need not wait for it: no engine can end it.
    """
    info = runtime.inspect(container)
    if info.state is not ContainerState.RUNNING:
        raise UnhealthyError(info.name, f"it is {info.state} (exit code {info.exit_code})")
    if not check.command:
        return ""
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        probe = pool.submit(
            runtime.exec, container, check.command, timeout_seconds=check.timeout_seconds
        )
        while not wait([probe], timeout=SLICE_SECONDS).done:
            step.check()
        done = probe.result()
    except ExecFailedError as error:
        return error.reason
    finally:
        pool.shutdown(wait=False)
    return f"it exited with code {done.exit_code}" if done.exit_code else ""


def _pause(step: Step, seconds: float) -> None:
    """Sleep, but hear of a cancel."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SLICE_SECONDS))
        step.check()
