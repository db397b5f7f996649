"""Checkpoint archives: streams in parts, verified, in S3, a local directory or memory."""

from storage.archive import PART_BYTES, ArchiveStore
from storage.errors import (
    ArchiveDamagedError,
    CheckpointNotFoundError,
    ManifestInvalidError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StorageError,
    StoreAccessError,
    StoreBusyError,
    StoreClockError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
)
from storage.limited import limit_bandwidth
from storage.manifest import (
    Archive,
    CheckpointManifest,
    ImageManifest,
    ImageRef,
    Part,
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
    "ImageManifest",
    "ImageRef",
    "ManifestInvalidError",
    "MemoryObjectStore",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "ObjectTooLargeError",
    "Part",
    "StorageError",
    "StoreAccessError",
    "StoreBusyError",
    "StoreClockError",
    "StoreConfigError",
    "StoreFullError",
    "StoreUnavailableError",
    "limit_bandwidth",
    "new_checkpoint_id",
    "open_objects",
    "workload_of",
]
