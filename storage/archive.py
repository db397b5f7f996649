"""Checkpoints and images in an object store: parts first, the manifest last."""

import logging
import secrets
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from storage.codec import CodecName
from storage.errors import (
    CheckpointNotFoundError,
    ManifestInvalidError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from storage.manifest import Archive, CheckpointManifest, ImageManifest, workload_of
from storage.objects import Blob, ObjectStore
from storage.transfer import Progress, Transfer

PART_BYTES = 16 << 20

_Manifest = TypeVar("_Manifest", CheckpointManifest, ImageManifest)
_logger = logging.getLogger(__name__)
_CHECKPOINTS = "checkpoints"
_MANIFEST = "manifest.json"


class ArchiveStore:
    """Archives, and the manifests that make them checkpoints or images.

    Streams pass in bounded memory: at most (`parallel` + 2) times `part_bytes`, plus some MiB of
    compression. `codec` concerns new archives only; reading follows the manifest. Any method may
    raise what ObjectStore's methods raise.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        part_bytes: int = PART_BYTES,
        parallel: int = 2,
        codec: CodecName = "zstd",
    ) -> None:
        self._objects = objects
        self._transfer = Transfer(objects, part_bytes=part_bytes, parallel=parallel, codec=codec)

    @property
    def objects(self) -> ObjectStore:
        """The store that the archives lie in."""
        return self._objects

    def check(self) -> None:
        """Return when the store can be read and written. Raises StorageError."""
        self._objects.check()

    def write(
        self, prefix: str, chunks: Iterable[Blob], *, progress: Progress | None = None
    ) -> Archive:
        """Store a stream in parts below `prefix`, which no other upload may use.

        `chunks` is not read ahead of the uploads by more than the memory bound. `progress` gets
        the raw bytes so far. When the source or an upload fails, the parts written are deleted and
        the failure is raised.
        """
        return self._transfer.write(prefix, chunks, progress)

    def read(
        self, archive: Archive, *, progress: Progress | None = None
    ) -> Generator[bytes, None, None]:
        """The raw stream, in pieces of at most 1 MiB; `progress` gets the raw bytes so far.

        Every part is verified before a byte of it is passed on, and the last piece is held back
        until size and digest of the whole are right. Raises ArchiveDamagedError.
        """
        return self._transfer.read(archive, progress)

    def delete(self, archive: Archive) -> None:
        """Delete an archive that no manifest names; one that is gone is no error."""
        self._delete_all(archive.prefix)

    def publish(self, manifest: CheckpointManifest) -> None:
        """Make a checkpoint of what was written: from here on it exists.

        Publishing the same manifest again is no error. Raises ObjectExistsError when a different
        one has this id.
        """
        key, data = _checkpoint_key(manifest.id), _dump(manifest)
        try:
            self._objects.put(key, data, if_absent=True)
        except ObjectExistsError:
            # a retried request, or a task that is run again, finds its own work
            if self._objects.get(key) != data:
                raise

    def manifest(self, checkpoint_id: str) -> CheckpointManifest:
        """The manifest of a checkpoint. Raises CheckpointNotFoundError, ManifestInvalidError."""
        try:
            key = _checkpoint_key(checkpoint_id)
        except ValueError as error:
            raise CheckpointNotFoundError(checkpoint_id) from error
        try:
            manifest = self._load(CheckpointManifest, key)
        except ObjectNotFoundError as error:
            raise CheckpointNotFoundError(checkpoint_id) from error
        if manifest.id != checkpoint_id:
            raise ManifestInvalidError(key, f"it belongs to checkpoint {manifest.id}")
        return manifest

    def has_checkpoint(self, checkpoint_id: str) -> bool:
        """Whether it exists, even if its manifest cannot be read."""
        try:
            return self._objects.exists(_checkpoint_key(checkpoint_id))
        except ValueError:  # no such id
            return False

    def latest(self, workload: str) -> CheckpointManifest:
        """The workload's newest checkpoint, by its id.

        A newest one that cannot be read is an error, not a reason to go back to an older one.
        Raises CheckpointNotFoundError, ManifestInvalidError.
        """
        ids = self._checkpoint_ids(workload)
        if not ids:
            raise CheckpointNotFoundError(workload)
        second = max(ids).rpartition("-")[0]  # ids tell the second; within it manifests tell more
        newest = [self.manifest(i) for i in ids if i.rpartition("-")[0] == second]
        return max(newest, key=lambda manifest: manifest.created)

    def checkpoints(self, workload: str | None = None) -> list[CheckpointManifest]:
        """All checkpoints (of one workload), newest first; unreadable ones are logged."""
        found = []
        for checkpoint_id in self._checkpoint_ids(workload):
            try:
                found.append(self.manifest(checkpoint_id))
            except (ManifestInvalidError, CheckpointNotFoundError) as error:
                _logger.warning("a checkpoint is left out of the list: %s", error)
        return sorted(found, key=lambda manifest: manifest.created, reverse=True)

    def _checkpoint_ids(self, workload: str | None) -> list[str]:
        prefix = f"{_CHECKPOINTS}/{workload}/" if workload else f"{_CHECKPOINTS}/"
        places = (info.key.rpartition("/") for info in self._objects.list(prefix))
        return [
            place.removeprefix(f"{_CHECKPOINTS}/") for place, _, name in places if name == _MANIFEST
        ]

    def delete_checkpoint(self, checkpoint_id: str) -> None:
        """Delete the manifest, then all parts; nothing to delete is no error.

        Raises ValueError when it is no checkpoint id.
        """
        self._objects.delete(_checkpoint_key(checkpoint_id))
        self._delete_all(f"{_CHECKPOINTS}/{checkpoint_id}")

    def image(self, image_id: str) -> ImageManifest | None:
        """The manifest of an archived image, or None. Raises ManifestInvalidError."""
        try:
            return self._load(ImageManifest, _image_key(image_id))
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
        key = _image_key(image_id)
        prefix = f"{key.removesuffix(_MANIFEST)}{secrets.token_hex(8)}"
        archive = self.write(prefix, chunks, progress=progress)
        manifest = ImageManifest(
            id=image_id, names=tuple(names), created=datetime.now(UTC), archive=archive
        )
        try:
            self._objects.put(key, _dump(manifest), if_absent=True)
        except ObjectExistsError:
            manifest = self._load(ImageManifest, key)
            if manifest.archive.prefix != prefix:
                self._delete_all(prefix)
        return manifest

    def _delete_all(self, prefix: str) -> None:
        for info in self._objects.list(f"{prefix}/"):
            self._objects.delete(info.key)

    def _load(self, kind: type[_Manifest], key: str) -> _Manifest:
        try:
            return kind.model_validate_json(self._objects.get(key))
        except ValidationError as error:
            raise ManifestInvalidError(key, _first_reason(error)) from error


def _checkpoint_key(checkpoint_id: str) -> str:
    workload_of(checkpoint_id)
    return f"{_CHECKPOINTS}/{checkpoint_id}/{_MANIFEST}"


def _image_key(image_id: str) -> str:
    return f"images/{image_id.removeprefix('sha256:')}/{_MANIFEST}"


def _dump(manifest: BaseModel) -> bytes:
    return manifest.model_dump_json(indent=2).encode()


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
