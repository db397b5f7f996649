"""Checkpoint and restore a tiny container, to prove that CRIU works on a host.

CRIU cannot be asked for over REST, and that it is installed says little: kernel, OCI runtime and
configuration have to play along. Nothing of the canary stays.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from runtime.canary_image import LABELS, canary_image, new_name, sweep
from runtime.errors import EngineUnavailableError, RuntimeEngineError
from runtime.libpod import LibpodClient
from runtime.peek import Peek, peeking
from runtime.preflight.facts import Canary, CanaryState
from runtime.protocols import CheckpointRuntime
from runtime.specs import (
    CheckpointSpec,
    ContainerState,
    NetworkAttachment,
    RestoreSpec,
    RunSpec,
)

LEFTOVER_SECONDS = 120  # a run takes a few seconds
LOGS = ("restore.log", "dump.log")  # CRIU's, in the container's directory
_VERSION = re.compile(r"Version: (\S+)")
_NOISE = "RLIMIT_NOFILE"  # a complaint without consequences where limits cannot be raised


def run_canary(runtime: CheckpointRuntime, libpod: LibpodClient) -> Canary:
    """Try it now, which takes about two seconds. A failure is a result, not an exception."""
    began = time.monotonic()
    version = ""
    try:
        sweep(runtime, older_than_seconds=LEFTOVER_SECONDS)
        architecture = runtime.capabilities().architecture
        with (
            canary_image(runtime, libpod, architecture) as image,
            peeking(runtime, libpod, image) as peek,
        ):
            reason, version = _try(runtime, libpod, image, peek)
            state = CanaryState.FAILED if reason else CanaryState.OK
    except RuntimeEngineError as error:  # CRIU had no turn, so this says nothing about it
        state, reason = CanaryState.NOT_RUN, str(error)
    return Canary(
        state=state,
        reason=reason,
        criu_version=version,
        seconds=round(time.monotonic() - began, 3),
        taken=datetime.now(UTC),
    )


def _try(
    runtime: CheckpointRuntime, libpod: LibpodClient, image: str, peek: Peek
) -> tuple[str, str]:
    """Return why it failed (empty: it did not) and CRIU's version (empty: it never spoke)."""
    name = new_name()
    spec = RunSpec(
        name=name,
        image=image,
        labels=LABELS,
        networks=(NetworkAttachment(name="none"),),
        stop_timeout_seconds=0,
    )
    try:
        container = runtime.run(spec)
        runtime.start(container)
        directory = libpod.json(f"/containers/{container}/json", operation="inspect")["StaticDir"]
        reason = there_and_back(runtime, container)
        log = "\n".join(peek.read(f"{directory}/{log}") for log in LOGS)
    finally:
        runtime.remove(name, force=True)
    version = _VERSION.search(log)
    return explained(reason, log), version[1] if version else ""


def there_and_back(runtime: CheckpointRuntime, container: str) -> str:
    """Checkpoint a container and restore it; return what went wrong, empty if nothing did.

    Raises EngineUnavailableError.
    """
    try:
        with runtime.checkpoint(container, CheckpointSpec()) as chunks:
            archive = b"".join(chunks)
        runtime.remove(container, force=True)
        runtime.restore([archive], RestoreSpec(keep=True), archive="the canary")
        state = runtime.inspect(container).state
    except EngineUnavailableError:
        raise
    except RuntimeEngineError as error:
        return str(getattr(error, "reason", error))
    return "" if state is ContainerState.RUNNING else f"the restored canary is {state}"


def explained(reason: str, log: str) -> str:
    """The engine's reason, shortened to what tells, and the first error in CRIU's log."""
    if not reason:
        return ""
    errors = [line for line in log.splitlines() if "Error (" in line and _NOISE not in line]
    short = re.sub(r"`\S*/(\w+) (checkpoint|restore)[^`]*`", r"\1 \2", reason)
    return f"{short}; CRIU: {errors[0]}" if errors else short
