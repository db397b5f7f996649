"""Checkpoint archives: streams in parts, verified, in S3, a local directory or memory."""

from storage.archive import PART_BYTES, ArchiveStore
from storage.errors import (
    ArchiveDamagedError,
    CheckpointNotFoundError,
    ManifestInvalidError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreAccessError,
    StoreConfigError,
    StoreUnavailableError,
)
from storage.manifest import (
    Archive,
    CheckpointManifest,
    GroupManifest,
    ImageManifest,
    ImageRef,
    Part,
    member_checkpoint_id,
    new_checkpoint_id,
    workload_of,
)
from storage.memory import MemoryObjectStore
from storage.objects import ObjectInfo, ObjectStore
from storage.open import open_objects

__all__ = [
    "PART_BYTES",
    "Archive",
    "ArchiveDamagedError",
    "ArchiveStore",
    "CheckpointManifest",
    "CheckpointNotFoundError",
    "GroupManifest",
    "ImageManifest",
    "ImageRef",
    "ManifestInvalidError",
    "MemoryObjectStore",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "Part",
    "StorageError",
    "StoreAccessError",
    "StoreConfigError",
    "StoreUnavailableError",
    "member_checkpoint_id",
    "new_checkpoint_id",
    "open_objects",
    "workload_of",
]
