"""Checkpoint archives: streams in parts, verified, in S3, a local directory or memory."""

from storage.archive import PART_BYTES, ArchiveStore
from storage.compression import Compression
from storage.errors import (
    ArchiveDamagedError,
    CheckpointNotFoundError,
    KeyFileError,
    KeyMissingError,
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
from storage.keyfile import KeyFile
from storage.keys import UNENCRYPTED, Key, Keyring, StaticKeyring
from storage.limited import limit_bandwidth
from storage.manifest import (
    Archive,
    CheckpointManifest,
    GroupManifest,
    ImageManifest,
    ImageRef,
    member_checkpoint_id,
    new_archive_prefix,
    new_checkpoint_id,
    workload_of,
)
from storage.memory import MemoryObjectStore
from storage.objects import ObjectInfo, ObjectStore
from storage.open import open_objects

__all__ = [
    "PART_BYTES",
    "UNENCRYPTED",
    "Archive",
    "ArchiveDamagedError",
    "ArchiveStore",
    "CheckpointManifest",
    "CheckpointNotFoundError",
    "Compression",
    "GroupManifest",
    "ImageManifest",
    "ImageRef",
    "Key",
    "KeyFile",
    "KeyFileError",
    "KeyMissingError",
    "Keyring",
    "ManifestInvalidError",
    "MemoryObjectStore",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "ObjectTooLargeError",
    "StaticKeyring",
    "StorageError",
    "StoreAccessError",
    "StoreBusyError",
    "StoreClockError",
    "StoreConfigError",
    "StoreFullError",
    "StoreUnavailableError",
    "limit_bandwidth",
    "member_checkpoint_id",
    "new_archive_prefix",
    "new_checkpoint_id",
    "open_objects",
    "workload_of",
]
