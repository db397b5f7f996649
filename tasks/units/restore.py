"""Bring a workload back from the store with its memory."""

from __future__ import annotations

from collections.abc import Sequence

from runtime import (
    CheckpointRuntime,
    RestoreSpec,
    RunSpec,
    VolumeInUseError,
    needs_new_address,
)
from storage import CheckpointDraft
from tasks.errors import InvalidRequestError
from tasks.facts import target_check
from tasks.models import Kind, Workflow
from tasks.step import Result, Step
from tasks.units.bases import forget_bases
from tasks.units.engine import engine, lookup, remove_copies, wait_healthy
from tasks.units.members import Incoming, incoming, volumes_of
from tasks.units.surroundings import ensure_networks
from tasks.units.target import leaving_nothing, take_target


def restore(step: Step) -> Result:
    """Restore the checkpoints here, until all are healthy; leave nothing behind on a failure.

    The end of an archive is only passed on when all of them are complete and published, so nothing
    begins to run here before its source has nothing more to give.
    """
    runtime = engine(step)
    runtime.ping()
    found = list(incoming(step))
    drafts = [one.draft for one in found]
    _require_whole(step.workflow, drafts)
    names, volumes = [draft.workload for draft in drafts], volumes_of(drafts)
    if step.workflow.kind is Kind.RESTORE and step.workflow.options.replace:
        _discard_old(step, runtime, drafts)
    take_target(step, runtime, names, volumes)
    try:
        with leaving_nothing(step, runtime, names, volumes):
            containers = _restore_all(step, runtime, found)
    finally:
        forget_bases(step)
    return {"container_ids": list(containers)}


def _restore_all(step: Step, runtime: CheckpointRuntime, found: Sequence[Incoming]) -> list[str]:
    """One after the other, in their order; only then may one's health depend on another's."""
    drafts = [one.draft for one in found]
    for draft in drafts:
        ensure_networks(runtime, RunSpec.model_validate(draft.spec), draft.networks)
    networks = {str(network["name"]) for draft in drafts for network in draft.networks}
    containers: list[str] = []
    with runtime.kept_apart(networks if len(found) > 1 else ()) as cut_off:
        for one in found:
            options = _options(step.workflow, one.draft)
            containers.append(runtime.restore(one.chunks, options, archive=one.draft.id))
            cut_off()
        runtime.forget_connections(a for draft in drafts for a in draft.addresses)
    for container, draft in zip(containers, drafts, strict=True):
        policy = RunSpec.model_validate(draft.spec).restart
        runtime.update_restart_policy(container, policy)
        wait_healthy(step, container, restored=True)
    return containers


def _options(workflow: Workflow, manifest: CheckpointDraft) -> RestoreSpec:
    """Claim the old addresses, unless the target cannot give them or the request gives them up.

    An imported container gets the name that it was imported under.
    """
    found = target_check(workflow).of(manifest.workload).findings
    new_address = workflow.options.ignore_static_ip or needs_new_address(found)
    renamed = manifest.imported and manifest.imported.container != manifest.workload
    return RestoreSpec(
        name=manifest.workload if renamed else "",
        ignore_static_ip=new_address,
        ignore_static_mac=new_address,
        ignore_volumes=bool(manifest.shared_volumes) and not manifest.volumes,
    )


def _require_whole(workflow: Workflow, found: Sequence[CheckpointDraft]) -> None:
    for manifest in found:
        if manifest.shared_volumes and workflow.group is None:
            raise InvalidRequestError(
                f"{manifest.workload} shares volumes with others; restore all of them as they were "
                f"together: podferry restore {manifest.group}"
            )


def _discard_old(step: Step, runtime: CheckpointRuntime, found: Sequence[CheckpointDraft]) -> None:
    """What ``--replace`` asks for: containers of these names, and their volumes, make room."""
    here = [old.id for old in (lookup(runtime, m.workload) for m in found) if old is not None]
    if here and not step.workflow.target_touched:
        for volume in volumes_of(found):
            if set(runtime.volume_users(volume)) - set(here):
                raise VolumeInUseError(volume)
        step.fence()
        remove_copies(runtime, here, volumes_of(found))
