"""Checkpoints and images in an object store: parts first, the manifest last."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from storage.compression import Compression
from storage.errors import (
    CheckpointNotFoundError,
    KeyMissingError,
    ManifestInvalidError,
    NoBaseError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    ParentGoneError,
)
from storage.header import header_key
from storage.incremental import DELTA_PART_BYTES, Base, Increments, Written
from storage.keys import Keyring
from storage.manifest import (
    Archive,
    BaseRef,
    CheckpointDraft,
    CheckpointManifest,
    GroupManifest,
    ImageManifest,
    new_archive_prefix,
    workload_of,
)
from storage.objects import Blob, ObjectStore
from storage.reading import Alive, Reader
from storage.records import Record, first_reason
from storage.sealed import RECORD_LIMIT, Kind, open_record, seal_record
from storage.spool import Spool
from storage.transfer import Progress, Writer, put_once

PART_BYTES = 16 << 20

_Manifest = TypeVar("_Manifest", CheckpointDraft, CheckpointManifest, GroupManifest, ImageManifest)
_Listed = TypeVar("_Listed", CheckpointManifest, GroupManifest)
_logger = logging.getLogger(__name__)
_CHECKPOINTS = "checkpoints"
_GROUPS = "groups"
_IMAGES = "images"
_MANIFEST = "manifest.json"
_DRAFT = "draft.json"


class ArchiveStore:
    """Archives, and the manifests that make them checkpoints or images.

    All of it is sealed with `keys`: private, and refused when it is not what was written. Streams
    pass in bounded memory: at most (`parallel` + 2) times `part_bytes` when they are written, one
    less when they are read, plus some MiB of segments and compression; each delta of a chain that
    is read adds 2 times DELTA_PART_BYTES and as much besides. `part_bytes` is a multiple of 1 MiB
    or less than that; it and `compression` concern new archives only, reading follows the archive.
    Any method may raise what ObjectStore's and Keyring's methods raise.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        keys: Keyring,
        part_bytes: int = PART_BYTES,
        parallel: int = 2,
        compression: Compression = "auto",
        spool: Path | None = None,
    ) -> None:
        self._objects = objects
        self._spool = Spool(objects, spool) if spool else None
        self._keys = keys
        self._checked: float | None = None  # when the store was last found good
        self._writer = Writer(
            objects, keys, part_bytes=part_bytes, parallel=parallel, compression=compression
        )
        self._reader = Reader(self._spool or objects, keys, parallel=parallel)
        self._increments = Increments(
            full=self._writer,
            small=Writer(
                objects,
                keys,
                part_bytes=min(part_bytes, DELTA_PART_BYTES),
                parallel=parallel,
                compression=compression,
            ),
            reader=self._reader,
            delete=self.delete,
        )

    @property
    def objects(self) -> ObjectStore:
        """The store that the archives lie in."""
        return self._objects

    def check(self, *, within_seconds: float = 0.0) -> None:
        """Return when the store can be read and written, and a key is at hand.

        What was found good `within_seconds` is not asked again. Raises StorageError.
        """
        self._keys.current()
        moment = time.monotonic()
        if self._checked is None or moment - self._checked >= within_seconds:
            self._objects.check()
            self._checked = moment

    @property
    def key_id(self) -> str:
        """The id of the key that new archives are sealed with."""
        return self._keys.current().id

    def require_key(self, key_id: str) -> None:
        """Return when what is sealed with this key can be read here. Raises KeyMissingError."""
        self._keys.find(key_id)

    def write(
        self, prefix: str, chunks: Iterable[Blob], *, progress: Progress | None = None
    ) -> Archive:
        """Store a stream in parts below `prefix`, which is `new_archive_prefix`'s.

        The header is there before the first part, and each part as soon as it is full, so that
        `follow` may read along. `chunks` is not read ahead of the uploads by more than the memory
        bound. `progress` gets the raw bytes so far. When the source or an upload fails, what was
        written is deleted and the failure is raised. Raises ObjectExistsError when the prefix was
        used before.
        """
        return self._writer.write(prefix, chunks, progress)

    def read(
        self, archive: Archive, *, progress: Progress | None = None
    ) -> Generator[Blob, None, None]:
        """The raw stream, in pieces of at most 1 MiB; `progress` gets the raw bytes so far.

        Pieces may be views of what was read, which stays in memory as long as they do.

        Every segment is verified before a byte of it is passed on, and the last piece is held back
        until the whole agrees with `archive`. Raises ArchiveDamagedError, KeyMissingError.
        """
        return self._reader.read(archive, progress)

    def follow(
        self,
        checkpoint_id: str,
        prefix: str,
        *,
        alive: Alive,
        chain: Sequence[Archive] = (),
        progress: Progress | None = None,
    ) -> Generator[Blob, None, None]:
        """The tar of a checkpoint whose archive may still be being written at `prefix`.

        `chain` is what was announced of it, and is complete. As `read`, but what is missing is
        waited for: the header, the next part, and in the end the checkpoint's manifest; without one
        that names this very archive the last piece is never passed on. Once there is a manifest, no
        part is waited for. `alive` is called at each look while waiting; what it raises (the writer
        has failed, was superseded, or takes too long) ends the stream. Raises ArchiveDamagedError,
        ManifestInvalidError, KeyMissingError.
        """

        def published() -> Archive | None:
            try:
                return self.manifest(checkpoint_id).archive
            except CheckpointNotFoundError:
                return None

        if not chain:
            return self._reader.follow(prefix, published, alive, progress)
        last = self._reader.follow(prefix, published, alive, None, parallel=1)
        return self._increments.read(chain, last, prefix, progress)

    def write_pages(
        self,
        prefix: str,
        tar: Iterable[Blob],
        *,
        base: Base | None = None,
        index: bool = True,
        progress: Progress | None = None,
    ) -> Written:
        """Store a checkpoint's tar, with a `base` only what changed since.

        Its `index` is stored too, so that the next one can be told apart from it: 0.4 % of the tar.
        `progress` gets the bytes of the tar so far. Else as `write`. Raises PageIndexError when the
        base's file fails meanwhile.
        """
        return self._increments.write(prefix, tar, base, progress, index_wanted=index)

    def newest_base(self, workload: str, *, full_every: int) -> BaseRef:
        """What the workload's next checkpoint can be told apart from: its newest checkpoint.

        Of each chain the first of `full_every` checkpoints is a full one. Raises NoBaseError.
        """
        try:
            newest = self.latest(workload)
        except CheckpointNotFoundError:
            raise NoBaseError(workload, "there is no other") from None
        except (ManifestInvalidError, KeyMissingError) as error:
            raise NoBaseError(workload, str(error)) from error
        if newest.base is None or len(newest.base.chain) >= full_every:
            reason = "has no page index" if newest.pages is None else "is the last of its chain"
            raise NoBaseError(workload, f"{newest.id} {reason}")
        return newest.base

    def base(self, ref: BaseRef) -> AbstractContextManager[Base]:
        """Fetch what a checkpoint is told apart from, before it is taken, and verify it.

        Needs a temporary file of 0.4 % of the tar. Raises PageIndexError, ArchiveDamagedError,
        KeyMissingError.
        """
        return self._increments.base(ref)

    def read_checkpoint(
        self, manifest: CheckpointManifest, *, progress: Progress | None = None
    ) -> Generator[Blob, None, None]:
        """The checkpoint's tar, from however many archives; else as `read`."""
        if not manifest.chain:
            return self.read(manifest.archive, progress=progress)
        last = self._reader.read(manifest.archive, None, parallel=1)
        return self._increments.read(manifest.chain, last, manifest.archive.prefix, progress)

    def prefetch(self, archive: Archive, *, progress: Progress | None = None) -> None:
        """Copy a whole archive to this machine, verified and still sealed, for `read` to find.

        `spool` is where; without one nothing happens. What others left there is removed after
        SPOOL_GRACE. Raises what `read` raises, StoreFullError when the disk has no room for it
        besides as much again; then nothing of it is left there.
        """
        if self._spool is None:
            return
        with self._spool.keeping(archive):
            for _ in self.read(archive, progress=progress):
                pass

    def forget(self, archive: Archive) -> None:
        """Remove what `prefetch` has copied; nothing is no error."""
        if self._spool is not None:
            self._spool.forget(archive.prefix)

    def delete(self, archive: Archive) -> None:
        """Delete an archive that no manifest names; one that is gone is no error."""
        self._delete_all(archive.prefix)

    def announce(self, prefix: str, draft: CheckpointDraft) -> None:
        """Say what will be published when the archive at `prefix` is complete, for `follow`."""
        self._put(f"{prefix}/{_DRAFT}", "draft", prefix, draft)

    def announced(self, prefix: str) -> CheckpointDraft:
        """What was announced of the archive at `prefix`. Raises as `manifest` does."""
        try:
            return self._load(CheckpointDraft, f"{prefix}/{_DRAFT}", "draft", prefix)
        except ObjectNotFoundError as error:
            raise CheckpointNotFoundError(prefix) from error

    def publish(self, manifest: CheckpointManifest) -> None:
        """Make a checkpoint of what was written: from here on it exists.

        Publishing the same manifest again is no error. Raises ObjectExistsError when a different
        one has this id, ParentGoneError when what it cannot be read without was removed.
        """
        self._require_chain(manifest)
        self._publish(_CHECKPOINTS, "checkpoint", manifest)

    def _require_chain(self, manifest: CheckpointManifest) -> None:
        """Raise ParentGoneError unless all that it needs is there still."""
        places = {archive.prefix.rpartition("/")[0] for archive in manifest.chain}
        others = places - {f"{_CHECKPOINTS}/{manifest.id}"}
        needed = [header_key(archive.prefix) for archive in manifest.chain]
        if not all(map(self._objects.exists, [*(f"{p}/{_MANIFEST}" for p in others), *needed])):
            raise ParentGoneError(manifest.id, manifest.parent or "its base")

    def publish_group(self, manifest: GroupManifest) -> None:
        """Make one of checkpoints that are published already; else as `publish`."""
        self._publish(_GROUPS, "group", manifest)

    def _publish(self, root: str, kind: Kind, manifest: _Listed) -> None:
        try:
            self._put(_manifest_key(root, manifest.id), kind, manifest.id, manifest)
        except ObjectExistsError:
            # a task that is run again finds its own work
            if self._manifest(type(manifest), root, kind, manifest.id) != manifest:
                raise

    def manifest(self, checkpoint_id: str) -> CheckpointManifest:
        """The manifest of a checkpoint.

        Raises CheckpointNotFoundError, ManifestInvalidError, KeyMissingError.
        """
        return self._manifest(CheckpointManifest, _CHECKPOINTS, "checkpoint", checkpoint_id)

    def group(self, checkpoint_id: str) -> GroupManifest:
        """The manifest of a group's checkpoint; else as `manifest`."""
        return self._manifest(GroupManifest, _GROUPS, "group", checkpoint_id)

    def _manifest(self, model: type[_Listed], root: str, kind: Kind, checkpoint_id: str) -> _Listed:
        try:
            key = _manifest_key(root, checkpoint_id)
            manifest = self._load(model, key, kind, checkpoint_id)
        except (ValueError, ObjectNotFoundError) as error:
            raise CheckpointNotFoundError(checkpoint_id) from error
        if manifest.id != checkpoint_id:
            raise ManifestInvalidError(key, f"it belongs to checkpoint {manifest.id}")
        return manifest

    def latest_group(self, workload: str) -> GroupManifest:
        """The group's newest checkpoint. Raises CheckpointNotFoundError, ManifestInvalidError."""
        ids = self._ids(_GROUPS, workload)
        if not ids:
            raise CheckpointNotFoundError(workload)
        return self.group(max(ids))

    def groups(self, workload: str | None = None) -> list[GroupManifest]:
        """All groups' checkpoints (of one), newest first; unreadable ones are logged."""
        return self._listed(self.group, self._ids(_GROUPS, workload))

    def has_group(self, checkpoint_id: str) -> bool:
        """Whether it is a group's checkpoint, even if its manifest cannot be read."""
        return self._exists(_GROUPS, checkpoint_id)

    def delete_group(self, checkpoint_id: str) -> None:
        """Delete what makes checkpoints one, and leave them; nothing to delete is no error.

        Raises ValueError when it is no checkpoint id.
        """
        self._objects.delete(_manifest_key(_GROUPS, checkpoint_id))
        self._delete_all(f"{_GROUPS}/{checkpoint_id}")

    def has_checkpoint(self, checkpoint_id: str) -> bool:
        """Whether it exists, even if its manifest cannot be read."""
        return self._exists(_CHECKPOINTS, checkpoint_id)

    def _exists(self, root: str, checkpoint_id: str) -> bool:
        try:
            return self._objects.exists(_manifest_key(root, checkpoint_id))
        except ValueError:  # no such id
            return False

    def latest(self, workload: str) -> CheckpointManifest:
        """The workload's newest checkpoint, by its id.

        A newest one that cannot be read is an error, not a reason to go back to an older one.
        Raises CheckpointNotFoundError, ManifestInvalidError.
        """
        ids = self._ids(_CHECKPOINTS, workload)
        if not ids:
            raise CheckpointNotFoundError(workload)
        second = max(ids).rpartition("-")[0]  # ids tell the second; within it manifests tell more
        newest = [self.manifest(i) for i in ids if i.rpartition("-")[0] == second]
        return max(newest, key=lambda manifest: manifest.created)

    def checkpoints(self, workload: str | None = None) -> list[CheckpointManifest]:
        """All checkpoints (of one workload), newest first; unreadable ones are logged."""
        return self._listed(self.manifest, self._ids(_CHECKPOINTS, workload))

    def _listed(self, load: Callable[[str], _Listed], ids: Iterable[str]) -> list[_Listed]:
        found = []
        for checkpoint_id in ids:
            try:
                found.append(load(checkpoint_id))
            except (ManifestInvalidError, KeyMissingError, CheckpointNotFoundError) as error:
                _logger.warning("%s is left out of the list: %s", checkpoint_id, error)
        return sorted(found, key=lambda manifest: manifest.created, reverse=True)

    def _ids(self, root: str, workload: str | None) -> list[str]:
        prefix = f"{root}/{workload}/" if workload else f"{root}/"
        places = (info.key.rpartition("/") for info in self._objects.list(prefix))
        return [place.removeprefix(f"{root}/") for place, _, name in places if name == _MANIFEST]

    def delete_checkpoint(self, checkpoint_id: str) -> None:
        """Delete the manifest, then all parts; nothing to delete is no error.

        Raises ValueError when it is no checkpoint id.
        """
        self._objects.delete(_manifest_key(_CHECKPOINTS, checkpoint_id))
        self._delete_all(f"{_CHECKPOINTS}/{checkpoint_id}")

    def image(self, image_id: str) -> ImageManifest | None:
        """The manifest of an archived image, or None.

        Raises ManifestInvalidError, KeyMissingError.
        """
        try:
            return self._load_image(image_id)
        except ObjectNotFoundError:
            return None

    def write_image(
        self,
        image_id: str,
        names: Iterable[str],
        chunks: Iterable[Blob],
        *,
        progress: Progress | None = None,
    ) -> ImageManifest:
        """Store an image once: what is stored already, or faster, is left and returned.

        `image_id` may begin with "sha256:". Failures are as those of `write`.
        """
        if existing := self.image(image_id):
            return existing
        prefix = new_archive_prefix(f"{_IMAGES}/{_image_name(image_id)}")
        archive = self.write(prefix, chunks, progress=progress)
        manifest = ImageManifest(
            id=image_id, names=tuple(names), created=datetime.now(UTC), archive=archive
        )
        try:
            self._put(_image_key(image_id), "image", _image_name(image_id), manifest)
        except ObjectExistsError:
            manifest = self._load_image(image_id)
            self._delete_all(prefix)
        return manifest

    def _load_image(self, image_id: str) -> ImageManifest:
        key, name = _image_key(image_id), _image_name(image_id)
        manifest = self._load(ImageManifest, key, "image", name)
        if _image_name(manifest.id) != name:
            raise ManifestInvalidError(key, f"it belongs to image {manifest.id}")
        return manifest

    def _delete_all(self, prefix: str) -> None:
        for info in self._objects.list(f"{prefix}/"):
            self._objects.delete(info.key)

    def _put(self, key: str, kind: Kind, name: str, record: Record) -> None:
        put_once(
            self._objects,
            key,
            seal_record(kind, name, record.model_dump_json().encode(), self._keys),
        )

    def _load(self, model: type[_Manifest], key: str, kind: Kind, name: str) -> _Manifest:
        try:
            data = self._objects.get(key, max_bytes=RECORD_LIMIT)
            return model.model_validate_json(open_record(kind, name, data, self._keys))
        except ObjectTooLargeError as error:
            raise ManifestInvalidError(key, str(error)) from error
        except ValidationError as error:
            raise ManifestInvalidError(key, first_reason(error)) from error
        except ValueError as error:
            raise ManifestInvalidError(key, str(error)) from error


def _manifest_key(root: str, checkpoint_id: str) -> str:
    workload_of(checkpoint_id)  # or it is no id
    return f"{root}/{checkpoint_id}/{_MANIFEST}"


def _image_name(image_id: str) -> str:
    return image_id.removeprefix("sha256:")


def _image_key(image_id: str) -> str:
    return f"{_IMAGES}/{_image_name(image_id)}/{_MANIFEST}"
