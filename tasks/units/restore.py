"""Bring a workload back from the store with its memory."""

from __future__ import annotations

from runtime import CheckpointRuntime, RestoreSpec, RunSpec, needs_new_address
from storage import CheckpointManifest
from tasks.facts import target_check
from tasks.models import Kind
from tasks.step import Result, Step
from tasks.units.engine import engine, lookup, remove_copy, wait_healthy
from tasks.units.surroundings import ensure_networks
from tasks.units.target import clean_up, take_target


def restore(step: Step) -> Result:
    """Restore the checkpoint here, until it is healthy; leave nothing behind on a failure."""
    runtime = engine(step)
    runtime.ping()
    manifest = step.context.archives.manifest(step.workflow.checkpoint_id)
    if step.workflow.kind is Kind.RESTORE and step.workflow.options.replace:
        _discard_old(step, runtime, manifest)
    take_target(step, runtime, manifest.workload, manifest.volumes)
    try:
        container = _restore(step, runtime, manifest)
    except Exception:
        clean_up(runtime, manifest.workload, manifest.volumes)
        raise
    return {"container_id": container, "bytes": manifest.archive.size}


def _restore(step: Step, runtime: CheckpointRuntime, manifest: CheckpointManifest) -> str:
    spec = RunSpec.model_validate(manifest.spec)
    ensure_networks(runtime, spec, manifest.networks)
    chunks = step.context.archives.read(manifest.archive, progress=step.progress)
    container = runtime.restore(chunks, _options(step, manifest), archive=manifest.id)
    runtime.update_restart_policy(container, spec.restart)
    wait_healthy(step, container, restored=True)
    return container


def _options(step: Step, manifest: CheckpointManifest) -> RestoreSpec:
    """Claim the old addresses, unless the target cannot give them or the request gives them up.

    An imported container gets the name that it was imported under.
    """
    found = target_check(step.workflow).findings
    new_address = step.workflow.options.ignore_static_ip or needs_new_address(found)
    renamed = manifest.imported and manifest.imported.container != manifest.workload
    return RestoreSpec(
        name=manifest.workload if renamed else "",
        ignore_static_ip=new_address,
        ignore_static_mac=new_address,
    )


def _discard_old(step: Step, runtime: CheckpointRuntime, manifest: CheckpointManifest) -> None:
    """What ``--replace`` asks for: the container of this name, and its volumes, make room."""
    here = lookup(runtime, manifest.workload)
    if here is not None and not step.workflow.target_touched:
        step.fence()
        remove_copy(runtime, here.id, manifest.volumes)
