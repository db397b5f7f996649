"""Retention as the installation runs it: its policy, what workflows still need, removal by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from storage import (
    ArchiveStore,
    CheckpointManifest,
    CheckpointNotFoundError,
    InUse,
    Keep,
    KeyMissingError,
    ManifestInvalidError,
    Pins,
    PruneReport,
    RetentionPolicy,
    children_first,
    member_checkpoint_id,
    needs_of,
    parse_duration,
    prune,
    workload_of,
)
from tasks.errors import CheckpointNeededError
from tasks.facts import source_facts
from tasks.models import Unit, Workflow, now

if TYPE_CHECKING:
    from tasks.records import Records

KEEP_LAST_LABEL = "podferry.keep-last"
KEEP_WITHIN_LABEL = "podferry.keep-within"
log = structlog.get_logger()


def run_retention(
    archives: ArchiveStore,
    records: Records,
    policy: RetentionPolicy,
    *,
    grace: timedelta,
    dry_run: bool = False,
) -> PruneReport:
    """Prune the store by ``policy`` and the labels of the containers. Raises StorageError."""
    report = prune(
        archives,
        lambda manifests: with_labels(policy, manifests),
        lambda: in_use(records.live()),
        now=now(),
        grace=grace,
        dry_run=dry_run,
    )
    if report.over_bytes:
        log.warning("the store stays over its limit", over_bytes=report.over_bytes)
    return report


def in_use(workflows: Iterable[Workflow]) -> InUse:
    """What these (unfinished) workflows name: nothing of it may be removed."""
    live = list(workflows)
    return InUse(
        checkpoints=frozenset(id for w in live for id in _checkpoints(w)),
        images=frozenset(image for w in live for image in _images(w)),
        workflows=frozenset(w.id for w in live),
    )


def _checkpoints(workflow: Workflow) -> set[str]:
    if not workflow.checkpoint_id:
        return set()
    names = workflow.containers
    members = {member_checkpoint_id(workflow.checkpoint_id, name) for name in names}
    return {workflow.checkpoint_id, *members, *workflow.parents}


def _images(workflow: Workflow) -> set[str]:
    if workflow.done(Unit.DESCRIBE) is None:
        return set()
    return {member.container.image_id for member in source_facts(workflow).members}


def with_labels(
    policy: RetentionPolicy, manifests: Iterable[CheckpointManifest]
) -> RetentionPolicy:
    """The policy, with what the labels say of each workload's newest checkpoint in its place."""
    newest: dict[str, CheckpointManifest] = {}
    for manifest in sorted(manifests, key=lambda m: m.created):
        newest[manifest.workload] = manifest
    own = {name: keep for name, m in newest.items() if (keep := _keep_of(m)) is not None}
    return RetentionPolicy(
        keep=policy.keep,
        workloads={**policy.workloads, **own},
        max_total_bytes=policy.max_total_bytes,
    )


def remove_checkpoints(archives: ArchiveStore, records: Records, ids: Sequence[str]) -> None:
    """Remove checkpoints by hand, groups with their members: all, or none if one is needed.

    Raises CheckpointNotFoundError, CheckpointNeededError.
    """
    groups = [i for i in ids if archives.has_group(i)]
    members = (m for group in groups for m in _members(archives, group))
    alone = [i for i in ids if i not in groups]
    going = tuple(dict.fromkeys([*alone, *members]))
    for group in groups:
        _require_unpinned(Pins(archives.objects, groups=True), group)
        _require_unused(records.live(), group)
    needs = {i: _needs(archives, records, i, {*going, *groups}) for i in going}
    for group in groups:
        archives.delete_group(group)
        log.info("group's checkpoint removed", checkpoint=group)
    for checkpoint_id in children_first(needs):
        archives.delete_checkpoint(checkpoint_id)
        log.info("checkpoint removed", checkpoint=checkpoint_id)


def _members(archives: ArchiveStore, group: str) -> Iterator[str]:
    """What is there of a group; of one that cannot be read, nothing."""
    with suppress(ManifestInvalidError, KeyMissingError):
        yield from filter(archives.has_checkpoint, archives.group(group).members)


def _needs(
    archives: ArchiveStore, records: Records, checkpoint_id: str, going: Collection[str]
) -> tuple[str, ...]:
    """What a checkpoint needs, when all that needs it goes too; else it is an error."""
    if not archives.has_checkpoint(checkpoint_id):
        raise CheckpointNotFoundError(checkpoint_id)
    siblings = archives.checkpoints(workload_of(checkpoint_id))
    newest = siblings[0].id if siblings else ""
    family = {manifest.id: manifest for manifest in siblings}
    _require_unpinned(Pins(archives.objects), checkpoint_id)
    group = _group_of(archives, family.get(checkpoint_id))
    if group and group not in going:
        reason, command = f"it is a part of {group}", f"podferry checkpoints rm {group}"
        raise CheckpointNeededError(checkpoint_id, reason, command)
    for child, manifest in family.items():
        if checkpoint_id in needs_of(manifest) and child not in going:
            raise CheckpointNeededError(
                checkpoint_id,
                f"{child} cannot be read without it",
                f"podferry checkpoints rm {child} {checkpoint_id}",
            )
    _require_unused(records.live(), checkpoint_id, newest=newest)
    return needs_of(family[checkpoint_id]) if checkpoint_id in family else ()


def _group_of(archives: ArchiveStore, manifest: CheckpointManifest | None) -> str:
    group = manifest.group if manifest else ""
    return group if archives.has_group(group) else ""


def _require_unpinned(pins: Pins, checkpoint_id: str) -> None:
    pin = pins.get(checkpoint_id)
    if pin is not None:
        reason = f"it is pinned ({pin.reason})" if pin.reason else "it is pinned"
        raise CheckpointNeededError(
            checkpoint_id, reason, f"podferry checkpoints unpin {checkpoint_id}"
        )


def _require_unused(live: Iterable[Workflow], checkpoint_id: str, *, newest: str = "") -> None:
    """Nothing under way may name it, or take it, the newest, for a parent of what it makes."""
    workload = workload_of(checkpoint_id)
    for workflow in live:
        builds_on_it = workload in workflow.containers and checkpoint_id == newest
        if checkpoint_id in _checkpoints(workflow) or builds_on_it:
            raise CheckpointNeededError(
                checkpoint_id,
                f"workflow {workflow.id} is under way and may need it",
                f"podferry status {workflow.id}",
            )


def _keep_of(manifest: CheckpointManifest) -> Keep | None:
    """What the container's labels say; all is kept when they make no sense."""
    labels = manifest.spec.get("labels")
    if not isinstance(labels, dict) or not {KEEP_LAST_LABEL, KEEP_WITHIN_LABEL} & labels.keys():
        return None
    last, within = labels.get(KEEP_LAST_LABEL), labels.get(KEEP_WITHIN_LABEL)
    try:
        return Keep(
            last=int(str(last)) if last is not None else None,
            within=parse_duration(str(within)) if within is not None else None,
        )
    except ValueError as error:
        log.warning("its labels make no sense, so all is kept", id=manifest.id, reason=str(error))
        return Keep()
