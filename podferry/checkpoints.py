"""The checkpoints in the store, as a control plane or a person handles them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path

from podferry.files import new_file
from storage import (
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointManifest,
    CheckpointNotFoundError,
    GroupManifest,
    ImageRef,
    Imported,
    Pin,
    Pins,
    PruneReport,
    RetentionPolicy,
    new_archive_prefix,
    new_checkpoint_id,
)
from storage.objects import Blob
from storage.transfer import Progress
from tasks.errors import InvalidRequestError
from tasks.models import now
from tasks.records import Records
from tasks.stored import asked
from workers.settings import Settings


class Checkpoints:
    """What ``Client.checkpoints`` offers.

    Every method may raise StorageError and BrokerUnavailableError. Where an id is wanted,
    CheckpointNotFoundError says that there is no such checkpoint. ``progress`` gets the raw bytes
    so far.
    """

    def __init__(self, archives: ArchiveStore, records: Records, settings: Settings) -> None:
        self._archives = archives
        self._records = records
        self._settings = settings
        self._pins = Pins(archives.objects)
        self._group_pins = Pins(archives.objects, groups=True)

    def ls(self, workload: str | None = None) -> list[CheckpointManifest]:
        """All checkpoints, or one workload's, newest first; unreadable ones are logged."""
        return self._archives.checkpoints(workload)

    def groups(self, workload: str | None = None) -> list[GroupManifest]:
        """All checkpoints of projects and pods, or one's, newest first; see ``ls``."""
        return self._archives.groups(workload)

    def pins(self, ids: Sequence[str], *, groups: bool = False) -> Mapping[str, Pin]:
        """The pins of those of these checkpoints (or groups' ones) that have one."""
        pins = self._group_pins if groups else self._pins
        return {i: pin for i in ids if (pin := pins.get(i)) is not None}

    def show(self, checkpoint_id: str) -> CheckpointManifest:
        """One checkpoint's manifest."""
        return self._archives.manifest(checkpoint_id)

    def group(self, checkpoint_id: str) -> GroupManifest | None:
        """The manifest of a project's or pod's checkpoint; None when it is none."""
        try:
            return self._archives.group(checkpoint_id)
        except CheckpointNotFoundError:
            return None

    def read(self, checkpoint_id: str, *, progress: Progress | None = None) -> Iterator[bytes]:
        """The plain tar, as ``podman container restore --import`` takes it, in bounded memory.

        The last piece comes only if all is as it was written. Raises ArchiveDamagedError,
        InvalidRequestError for a group's checkpoint, which is several tars.
        """
        return map(bytes, self._pieces(checkpoint_id, progress))

    def _pieces(self, checkpoint_id: str, progress: Progress | None) -> Iterator[Blob]:
        """As `read`, without a copy of what was not compressed."""
        group = self.group(checkpoint_id)
        if group is not None and checkpoint_id not in group.members:
            raise InvalidRequestError(
                f"{checkpoint_id} is of several containers; take one of {', '.join(group.members)}"
            )
        manifest = self._archives.manifest(checkpoint_id)
        try:
            yield from self._archives.read_checkpoint(manifest, progress=progress)
        except ArchiveDamagedError:
            if not self._archives.has_checkpoint(checkpoint_id):  # it was removed meanwhile
                raise CheckpointNotFoundError(checkpoint_id) from None
            raise

    def verify(self, checkpoint_id: str, *, progress: Progress | None = None) -> CheckpointManifest:
        """Read all of a checkpoint; return its manifest. Raises ArchiveDamagedError."""
        for _ in self._pieces(checkpoint_id, progress):
            pass
        return self._archives.manifest(checkpoint_id)

    def export(
        self,
        checkpoint_id: str,
        path: Path,
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Write the plain tar to a file that only its owner may read, whole or not at all.

        Raises ArchiveDamagedError, InvalidRequestError when the file is there already or cannot
        be written.
        """
        with new_file(path, overwrite=overwrite) as file:
            for piece in self._pieces(checkpoint_id, progress):
                file.write(piece)

    def import_(
        self,
        file: BufferedReader,
        *,
        workload: str,
        name: str = "the file",
        progress: Progress | None = None,
    ) -> CheckpointManifest:
        """Store a checkpoint that ``podman container checkpoint --export`` wrote.

        It is restored under the workload's name. ``name`` is how errors call the file. Raises
        NotACheckpointError, InvalidRequestError when ``workload`` is no name for a container.
        """
        from runtime import ExportReader  # which knows engines; listing needs none of that

        taken = now()
        try:
            checkpoint_id = new_checkpoint_id(workload, taken)
        except ValueError as error:
            raise InvalidRequestError(f"{workload!r} is no name for a container") from error
        export = ExportReader(file, name)
        prefix = new_archive_prefix(f"checkpoints/{checkpoint_id}")
        archive = self._archives.write(prefix, export, progress=progress)
        found = export.container
        image = ImageRef(
            name=found.spec.image,
            id=found.image_id,
            archived=self._archives.image(found.image_id) is not None,
        )
        spec = found.spec.model_copy(update={"name": workload})
        manifest = CheckpointManifest(
            id=checkpoint_id,
            workload=workload,
            created=taken,
            host="",
            container_id=found.id,
            image=image,
            spec=asked(spec),
            volumes=tuple(m.source for m in spec.mounts if m.type == "volume"),
            networks=tuple(map(asked, found.networks)),
            archive=archive,
            imported=Imported(container=found.spec.name, unknown=found.unknown),
        )
        self._archives.publish(manifest)
        return manifest

    def pin(self, checkpoint_id: str, *, reason: str = "") -> Pin:
        """Keep a checkpoint until it is unpinned; a group's with all that it needs."""
        pins = self._group_pins if self._archives.has_group(checkpoint_id) else self._pins
        return pins.set(checkpoint_id, reason=reason, now=now())

    def unpin(self, checkpoint_id: str) -> None:
        """Leave a checkpoint to the policy again; one that is not pinned is no error."""
        is_group = self._archives.has_group(checkpoint_id)
        if not is_group and not self._archives.has_checkpoint(checkpoint_id):
            raise CheckpointNotFoundError(checkpoint_id)
        self._group_pins.remove(checkpoint_id)
        self._pins.remove(checkpoint_id)

    def rm(self, ids: Sequence[str]) -> None:
        """Remove checkpoints, of a group with its members: all of them, or none.

        Raises CheckpointNeededError.
        """
        from tasks.retention import remove_checkpoints

        remove_checkpoints(self._archives, self._records, ids)

    def prune(self, policy: RetentionPolicy | None = None, *, dry_run: bool = False) -> PruneReport:
        """Remove what the policy does not keep, and orphans; by default the settings' policy."""
        from tasks.retention import run_retention

        return run_retention(
            self._archives,
            self._records,
            policy or self._settings.retention(),
            grace=self._settings.retention_grace,
            dry_run=dry_run,
        )
