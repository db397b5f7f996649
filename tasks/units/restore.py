"""Bring a workload back from the store with its memory."""

from __future__ import annotations

from collections.abc import Sequence

from runtime import (
    AddressTakenError,
    CheckpointRuntime,
    PodSpec,
    RestoreSpec,
    RunSpec,
    needs_new_address,
)
from storage import CheckpointDraft
from tasks.errors import InvalidRequestError
from tasks.facts import target_check
from tasks.models import Kind, Workflow
from tasks.step import Result, Step
from tasks.units.bases import forget_bases
from tasks.units.engine import engine, remove_copies, wait_healthy
from tasks.units.members import Incoming, incoming, volumes_of
from tasks.units.pods import made_and_held, wanted_pod
from tasks.units.surroundings import ensure_networks
from tasks.units.target import discard_old, leaving_nothing, take_target


def restore(step: Step) -> Result:
    """Restore the checkpoints here, until all are healthy; leave nothing behind on a failure.

    The end of an archive is only passed on when all of them are complete and published, so nothing
    begins to run here before its source has nothing more to give.
    """
    runtime = engine(step)
    runtime.ping()
    found = list(incoming(step))
    drafts = [one.draft for one in found]
    pod = wanted_pod(step)
    pod_name = pod.spec.name if pod else ""
    _require_whole(step.workflow, drafts)
    names, volumes = [draft.workload for draft in drafts], volumes_of(drafts)
    if step.workflow.kind is Kind.RESTORE and step.workflow.options.replace:
        discard_old(step, runtime, drafts, pod=pod_name)
    take_target(step, runtime, names, volumes, pod=pod_name, ids=_ids(drafts))
    try:
        with leaving_nothing(step, runtime, names, volumes, pod=pod_name):
            with made_and_held(runtime, pod):
                containers = _restored(step, runtime, found, pod.spec if pod else None)
            _wait_for_all(step, runtime, containers, drafts)
    finally:
        forget_bases(step)
    return {"container_ids": list(containers)}


def _restored(
    step: Step, runtime: CheckpointRuntime, found: Sequence[Incoming], pod: PodSpec | None
) -> list[str]:
    """All of them; again, with new addresses, when an old one was taken since it was looked at.

    So it is when two restores at once claim the same. Who asked for an address keeps to it.
    """
    drafts = [one.draft for one in found]
    try:
        return _restore_all(step, runtime, found, pod, new_address=False)
    except AddressTakenError as error:
        if not all(RunSpec.model_validate(draft.spec).any_address for draft in drafts):
            raise
        step.log(f"{error}; once more with a new address")
    step.fence()
    remove_copies(runtime, [draft.workload for draft in drafts], volumes_of(drafts))
    return _restore_all(step, runtime, list(incoming(step)), pod, new_address=True)


def _restore_all(
    step: Step,
    runtime: CheckpointRuntime,
    found: Sequence[Incoming],
    pod: PodSpec | None,
    *,
    new_address: bool,
) -> list[str]:
    """One after the other, in their order."""
    drafts = [one.draft for one in found]
    for draft in drafts:
        ensure_networks(runtime, RunSpec.model_validate(draft.spec), draft.networks)
    networks = {str(network["name"]) for draft in drafts for network in draft.networks}
    containers: list[str] = []
    with runtime.kept_apart(networks if len(found) > 1 else ()) as cut_off:
        for one in found:
            options = _options(step.workflow, one.draft, pod, new_address=new_address)
            containers.append(runtime.restore(one.chunks, options, archive=one.draft.id))
            cut_off()
        addresses = [address for draft in drafts for address in draft.addresses]
        runtime.forget_connections([*addresses, *(pod.addresses if pod else ())])
    return containers


def _wait_for_all(
    step: Step,
    runtime: CheckpointRuntime,
    containers: Sequence[str],
    drafts: Sequence[CheckpointDraft],
) -> None:
    """Only when all are there may one's health depend on another's."""
    for container, draft in zip(containers, drafts, strict=True):
        policy = RunSpec.model_validate(draft.spec).restart
        runtime.update_restart_policy(container, policy)
        wait_healthy(step, container, restored=True)


def _options(
    workflow: Workflow, manifest: CheckpointDraft, pod: PodSpec | None, *, new_address: bool
) -> RestoreSpec:
    """Claim the old addresses, unless the target cannot give them or the request gives them up.

    An imported container gets the name that it was imported under.
    """
    found = target_check(workflow).of(manifest.workload).findings
    anew = new_address or workflow.options.ignore_static_ip or needs_new_address(found)
    renamed = manifest.imported and manifest.imported.container != manifest.workload
    return RestoreSpec(
        name=manifest.workload if renamed else "",
        ignore_static_ip=anew,
        ignore_static_mac=anew,
        ignore_volumes=bool(manifest.shared_volumes) and not manifest.volumes,
        pod=pod.name if pod else "",
    )


def _ids(found: Sequence[CheckpointDraft]) -> tuple[str, ...]:
    """The ids that a restore will give them; none, where a new name has it choose new ones."""
    renamed = any(m.imported and m.imported.container != m.workload for m in found)
    return () if renamed else tuple(manifest.container_id for manifest in found)


def _require_whole(workflow: Workflow, found: Sequence[CheckpointDraft]) -> None:
    for manifest in found:
        if not manifest.memory:
            raise InvalidRequestError(
                f"{manifest.id} holds no memory: its container was stopped; it can only start anew"
            )
        if manifest.shared_volumes and workflow.group is None:
            raise InvalidRequestError(
                f"{manifest.workload} shares volumes with others; restore all of them as they were "
                f"together: podferry restore {manifest.group}"
            )
