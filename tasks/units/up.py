"""Start a workload cold: from an archive's spec and files, or from a request's own spec."""

from __future__ import annotations

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from runtime import (
    CheckpointRuntime,
    ContainerExistsError,
    ImageNotFoundError,
    RunSpec,
    RuntimeEngineError,
    UnsupportedOptionError,
)
from storage import CheckpointManifest, StoreUnavailableError
from tasks.errors import InvalidRequestError, UnhealthyError
from tasks.models import Kind, Parts
from tasks.step import Result, Step
from tasks.stored import load
from tasks.units.engine import engine, health_check, lookup, wait_healthy
from tasks.units.filling import fill
from tasks.units.images import load_image
from tasks.units.members import manifests, volumes_of
from tasks.units.pods import wanted_pod
from tasks.units.surroundings import ensure_networks, ensure_volumes
from tasks.units.target import discard_old, leaving_nothing, take_target

log = structlog.get_logger()
HOPELESS = (ContainerExistsError, ImageNotFoundError, UnsupportedOptionError)
WORTH_A_RETRY = (RuntimeEngineError, UnhealthyError, StoreUnavailableError)


def up(step: Step) -> Result:
    """Start the workload, trying again with exponential backoff and jitter."""

    def told(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        step.log(f"try {state.attempt_number} failed, trying again: {error}")

    tries = Retrying(
        stop=stop_after_attempt(step.workflow.options.up_attempts),
        wait=wait_exponential_jitter(initial=1, max=30),
        retry=retry_if_exception(
            lambda e: isinstance(e, WORTH_A_RETRY) and not isinstance(e, HOPELESS)
        ),
        before_sleep=told,
        reraise=True,
    )
    containers = tries(_up_new if step.workflow.kind is Kind.UP else _up_from_archive, step)
    return {
        "container_ids": list(containers),
        "attempts": tries.statistics.get("attempt_number", 1),
    }


def _up_from_archive(step: Step) -> list[str]:
    runtime = engine(step)
    runtime.ping()
    pod = wanted_pod(step)
    if pod is not None:
        raise InvalidRequestError(f"nothing is started cold into a pod ({pod.spec.name!r})")
    found = manifests(step)
    names, volumes = [manifest.workload for manifest in found], volumes_of(found)
    if step.workflow.kind is Kind.RESTORE and step.workflow.options.replace:
        discard_old(step, runtime, found)
    take_target(step, runtime, names, volumes)
    with leaving_nothing(step, runtime, names, volumes):
        return [_started(step, runtime, manifest) for manifest in found]


def _started(step: Step, runtime: CheckpointRuntime, manifest: CheckpointManifest) -> str:
    """Start one; who comes after it may depend on its health."""
    load_image(step, manifest.image.name, manifest.image.id)
    spec = RunSpec.model_validate(manifest.spec)
    ensure_networks(runtime, spec, manifest.networks)
    ensure_volumes(runtime, spec, manifest.volume_specs)
    container = runtime.run(spec)
    fill(step, container, manifest, spec)
    step.note(permit=step.record.host)
    runtime.start(container)
    wait_healthy(step, container, restored=False)
    return container


def _up_new(step: Step) -> list[str]:
    runtime = engine(step)
    spec = load(RunSpec, step.workflow.id, step.context.records.payload(step.workflow.id))
    if lookup(runtime, spec.name) is not None:
        raise ContainerExistsError(spec.name)
    health_check(spec.name, spec)  # a label that cannot be read is told before anything is made
    ensure_networks(runtime, spec)
    ensure_volumes(runtime, spec)
    container = runtime.run(spec)
    mounted = tuple(mount.source for mount in spec.mounts if mount.type == "volume")
    own = Parts(containers=(spec.name,), volumes=mounted)
    step.context.records.evictions.void(step.record.host, own)
    # never its volumes: they may have been there before
    with leaving_nothing(step, runtime, [container], ()):
        runtime.start(container)
        wait_healthy(step, container, restored=False)
    return [container]
