"""Removes what retention and orphans say, so that racing writers and readers lose nothing.

Between looking and removing, others go on. So right before each removal it is asked again who uses
the thing, always in this order: first what unfinished workflows name, then what the store says.
A workflow that ended in between has by then published its manifest. A manifest goes first and the
parts after it, so what is left of a removal that was killed is an orphan, never half a checkpoint.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from storage.archive import ArchiveStore
from storage.manifest import CheckpointManifest
from storage.orphans import InUse, Orphan, StoredKind, find_orphans, named
from storage.pins import pin_key
from storage.retention import Candidate, Reason, RetentionPolicy, plan
from storage.survey import MANIFEST, UPLOAD, Survey, checkpoint_ids, manifests, survey

ORPHAN_GRACE = timedelta(hours=24)
_logger = logging.getLogger(__name__)


class PruneEntry(BaseModel):
    """One thing in a report; `bytes` are stored ones, `reason` is one of retention's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: StoredKind
    id: str
    bytes: int
    reason: Reason


class PruneReport(BaseModel):
    """What pruning removed (or would, when `dry_run`), and which checkpoints it kept.

    `left` was to go, but came into use meanwhile. `over_bytes` is by how much the limit of the
    whole store is exceeded though all went that may go.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool
    removed: tuple[PruneEntry, ...]
    left: tuple[PruneEntry, ...] = ()
    kept: tuple[PruneEntry, ...]
    freed_bytes: int
    over_bytes: int


def prune(
    archives: ArchiveStore,
    policy_of: Callable[[Iterable[CheckpointManifest]], RetentionPolicy],
    in_use: Callable[[], InUse],
    *,
    now: datetime,
    grace: timedelta = ORPHAN_GRACE,
    dry_run: bool = False,
) -> PruneReport:
    """Remove the checkpoints that the policy does not keep, then all orphans older than `grace`.

    `policy_of` makes the policy, given the manifests; `in_use` is asked anew before each removal.
    Several may prune at once. Raises what ObjectStore's methods raise; what was removed until then
    is in the log.
    """
    found, using = survey(archives), in_use()
    todo = plan(
        found.candidates(),
        policy_of(found.manifests.values()),
        now=now,
        protected=using.checkpoints,
    )
    kept = {verdict.checkpoint.key for verdict in todo.keep}
    orphans = find_orphans(found, kept=kept, in_use=using, before=now - grace)
    remover = _Remover(archives, found, in_use, before=now - grace, dry_run=dry_run)
    for verdict in todo.remove:
        remover.checkpoint(verdict.checkpoint, verdict.reason)
    for orphan in orphans:
        remover.orphan(orphan)
    return PruneReport(
        dry_run=dry_run,
        removed=tuple(remover.removed),
        left=tuple(remover.left),
        kept=tuple(_entry(verdict.checkpoint, verdict.reason) for verdict in todo.keep),
        freed_bytes=sum(entry.bytes for entry in remover.removed),
        over_bytes=todo.over_bytes,
    )


class _Remover:
    """Removes one thing after the other, each only if it is still free to go."""

    def __init__(
        self,
        archives: ArchiveStore,
        found: Survey,
        in_use: Callable[[], InUse],
        *,
        before: datetime,
        dry_run: bool,
    ) -> None:
        self.removed: list[PruneEntry] = []
        self.left: list[PruneEntry] = []
        self._archives = archives
        self._objects = archives.objects
        self._manifests = dict(found.manifests)
        self._in_use = in_use
        self._before = before
        self._dry_run = dry_run
        self._groups = found.groups
        self._needed_by_left: set[str] = set()

    def checkpoint(self, candidate: Candidate, reason: Reason) -> None:
        """Remove a checkpoint, unless it was pinned or named, or what needs it left, meanwhile."""
        entry = _entry(candidate, reason)
        if not self._dry_run:
            if not self._is_free(candidate):
                self._needed_by_left.update(candidate.needs)
                self.left.append(entry)
                return
            if candidate.group:
                self._archives.delete_group(candidate.id)
            else:
                self._archives.delete_checkpoint(candidate.id)
        self._done(entry)

    def orphan(self, orphan: Orphan) -> None:
        """Remove an orphan, unless somebody has come for it."""
        entry = PruneEntry(kind=orphan.kind, id=orphan.id, bytes=orphan.size, reason=Reason.ORPHAN)
        if self._dry_run or self._delete(orphan):
            self._done(entry)
        else:
            self.left.append(entry)

    def _is_free(self, candidate: Candidate) -> bool:
        return not (
            candidate.key in self._needed_by_left
            or candidate.id in self._in_use().checkpoints
            or self._objects.exists(pin_key(candidate.id, group=candidate.group))
            or self._has_new_group(candidate)
        )

    def _has_new_group(self, candidate: Candidate) -> bool:
        """Whether it has become a part of a group's checkpoint since the survey."""
        manifest = None if candidate.group else self._manifests.get(candidate.id)
        group = manifest.group if manifest else ""
        return bool(group) and group not in self._groups and self._archives.has_group(group)

    def _delete(self, orphan: Orphan) -> bool:
        if self._is_wanted(orphan):
            return False
        listed = list(self._objects.list(orphan.prefix))
        if any(info.modified >= self._before for info in listed):
            return False
        manifest = f"{orphan.prefix}{MANIFEST}"
        if orphan.kind is StoredKind.UPLOAD and self._objects.exists(manifest):
            return False
        for key in sorted((info.key for info in listed), key=lambda key: key != manifest):
            self._objects.delete(key)
        return True

    def _is_wanted(self, orphan: Orphan) -> bool:
        using = self._in_use()
        match orphan.kind:
            case StoredKind.UPLOAD:
                return named(using, UPLOAD.sub("", orphan.id))
            case StoredKind.CONTEXT:
                return orphan.id in using.workflows
            case StoredKind.IMAGE:
                return orphan.id in using.images or self._has_checkpoint(orphan.id)
            case _:
                return False

    def _has_checkpoint(self, image_id: str) -> bool:
        """Whether a checkpoint, of those published until now, was taken from this image."""
        ids = checkpoint_ids(self._objects.list("checkpoints/"))
        self._manifests |= manifests(self._archives, ids - self._manifests.keys())
        current = [self._manifests.get(i) for i in ids]
        return any(m is None or m.image.id.removeprefix("sha256:") == image_id for m in current)

    def _done(self, entry: PruneEntry) -> None:
        self.removed.append(entry)
        if not self._dry_run:
            _logger.info("removed %s %s (%s)", entry.kind, entry.id, entry.reason)


def _entry(candidate: Candidate, reason: Reason) -> PruneEntry:
    kind = StoredKind.GROUP if candidate.group else StoredKind.CHECKPOINT
    return PruneEntry(kind=kind, id=candidate.id, bytes=candidate.size, reason=reason)
