"""Retention as the installation runs it: its policy, what workflows still need, removal by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from storage import (
    ArchiveStore,
    CheckpointManifest,
    CheckpointNotFoundError,
    InUse,
    Keep,
    Pins,
    PruneReport,
    RetentionPolicy,
    children_first,
    member_checkpoint_id,
    parent_of,
    parse_duration,
    prune,
    workload_of,
)
from tasks.errors import CheckpointNeededError
from tasks.facts import source_facts
from tasks.models import Unit, Workflow, now

if TYPE_CHECKING:
    from redis import Redis

    from tasks.records import Records

KEEP_LAST_LABEL = "podferry.keep-last"
KEEP_WITHIN_LABEL = "podferry.keep-within"
TURN = "podferry:retention"
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


def take_turn(redis: Redis, every: timedelta) -> bool:
    """Whether it is time to prune and nobody else has taken this interval's turn."""
    return bool(redis.set(TURN, 1, nx=True, px=every))


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
    """Remove checkpoints by hand: all of them, or none when one is needed.

    Raises CheckpointNotFoundError, CheckpointNeededError.
    """
    parents: dict[str, str | None] = {}
    for checkpoint_id in ids:
        if not archives.has_checkpoint(checkpoint_id):
            raise CheckpointNotFoundError(checkpoint_id)
        siblings = archives.checkpoints(workload_of(checkpoint_id))
        family = {m.id: parent_of(m) for m in siblings}
        _require_unneeded(archives, checkpoint_id, {i: family[i] for i in family if i not in ids})
        _require_unused(records.live(), checkpoint_id, newest=siblings[0].id if siblings else "")
        parents[checkpoint_id] = family.get(checkpoint_id)
    for checkpoint_id in children_first(parents):
        archives.delete_checkpoint(checkpoint_id)
        log.info("checkpoint removed", checkpoint=checkpoint_id)


def _require_unneeded(
    archives: ArchiveStore, checkpoint_id: str, parents: Mapping[str, str | None]
) -> None:
    pin = Pins(archives.objects).get(checkpoint_id)
    if pin is not None:
        reason = f"it is pinned ({pin.reason})" if pin.reason else "it is pinned"
        raise CheckpointNeededError(
            checkpoint_id, reason, f"podferry checkpoints unpin {checkpoint_id}"
        )
    for child, parent in parents.items():
        if parent == checkpoint_id:
            raise CheckpointNeededError(
                checkpoint_id,
                f"{child} cannot be read without it",
                f"podferry checkpoints rm {child} {checkpoint_id}",
            )


def _require_unused(live: Iterable[Workflow], checkpoint_id: str, *, newest: str) -> None:
    """Nothing under way may name it, or take it for the parent of the checkpoint it makes."""
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
