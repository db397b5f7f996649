"""Bring a workload back from the store with its memory."""

from __future__ import annotations

from runtime import CheckpointRuntime, RestoreSpec, RunSpec, needs_new_address
from storage import CheckpointManifest
from tasks.errors import InvalidRequestError
from tasks.facts import target_check
from tasks.models import Kind, Workflow
from tasks.step import Result, Step
from tasks.units.engine import engine, lookup, remove_copies, wait_healthy
from tasks.units.members import manifests, volumes_of
from tasks.units.surroundings import ensure_networks
from tasks.units.target import leaving_nothing, take_target


def restore(step: Step) -> Result:
    """Restore the checkpoints here, until all are healthy; leave nothing behind on a failure."""
    runtime = engine(step)
    runtime.ping()
    found = manifests(step)
    _require_whole(step.workflow, found)
    names, volumes = [manifest.workload for manifest in found], volumes_of(found)
    if step.workflow.kind is Kind.RESTORE and step.workflow.options.replace:
        _discard_old(step, runtime, found)
    take_target(step, runtime, names, volumes)
    with leaving_nothing(step, runtime, names, volumes):
        containers = _restore_all(step, runtime, found)
    size = sum(manifest.archive.size for manifest in found)
    return {"container_ids": list(containers), "bytes": size}


def _restore_all(
    step: Step, runtime: CheckpointRuntime, found: tuple[CheckpointManifest, ...]
) -> list[str]:
    """One after the other, in their order; only then may one's health depend on another's."""
    for manifest in found:
        ensure_networks(runtime, RunSpec.model_validate(manifest.spec), manifest.networks)
    networks = {str(network["name"]) for manifest in found for network in manifest.networks}
    addresses = [address for manifest in found for address in manifest.addresses]
    containers: list[str] = []
    done_bytes, total = 0, sum(manifest.archive.raw_size for manifest in found)
    with runtime.kept_apart(networks if len(found) > 1 else ()) as cut_off:
        for manifest in found:
            chunks = step.read(manifest.archive, before=done_bytes, total=total)
            options = _options(step.workflow, manifest)
            containers.append(runtime.restore(chunks, options, archive=manifest.id))
            cut_off()
            done_bytes += manifest.archive.raw_size
        runtime.forget_connections(addresses)
    for container, manifest in zip(containers, found, strict=True):
        policy = RunSpec.model_validate(manifest.spec).restart
        runtime.update_restart_policy(container, policy)
        wait_healthy(step, container, restored=True)
    return containers


def _options(workflow: Workflow, manifest: CheckpointManifest) -> RestoreSpec:
    """Claim the old addresses, unless the target cannot give them or the request gives them up."""
    found = target_check(workflow).of(manifest.workload).findings
    new_address = workflow.options.ignore_static_ip or needs_new_address(found)
    return RestoreSpec(
        ignore_static_ip=new_address,
        ignore_static_mac=new_address,
        ignore_volumes=bool(manifest.shared_volumes),
    )


def _require_whole(workflow: Workflow, found: tuple[CheckpointManifest, ...]) -> None:
    for manifest in found:
        if manifest.shared_volumes and workflow.group is None:
            raise InvalidRequestError(
                f"{manifest.workload} shares volumes with others; restore all of them as they were "
                f"together: podferry restore {manifest.group}"
            )


def _discard_old(
    step: Step, runtime: CheckpointRuntime, found: tuple[CheckpointManifest, ...]
) -> None:
    """What ``--replace`` asks for: containers of these names, and their volumes, make room."""
    here = [old.id for old in (lookup(runtime, m.workload) for m in found) if old is not None]
    if here and not step.workflow.target_touched:
        step.fence()
        remove_copies(runtime, here, volumes_of(found))
