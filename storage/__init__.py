"""Checkpoint archives: streams in parts, verified, in S3, a local directory or memory."""

from storage.archive import PART_BYTES, ArchiveStore
from storage.compression import Compression
from storage.errors import (
    ArchiveDamagedError,
    CheckpointNotFoundError,
    KeyFileError,
    KeyMissingError,
    ManifestInvalidError,
    NoBaseError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    ParentGoneError,
    StorageError,
    StoreAccessError,
    StoreBusyError,
    StoreClockError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
)
from storage.incremental import DELTA_PART_BYTES, Base, Written
from storage.keyfile import KeyFile
from storage.keys import UNENCRYPTED, Key, Keyring, StaticKeyring
from storage.limited import limit_bandwidth
from storage.manifest import (
    CHAIN_LIMIT,
    Archive,
    BaseRef,
    CheckpointDraft,
    CheckpointManifest,
    GroupManifest,
    ImageManifest,
    ImageRef,
    Imported,
    PageRecord,
    member_checkpoint_id,
    new_archive_prefix,
    new_checkpoint_id,
    workload_of,
)
from storage.memory import MemoryObjectStore
from storage.objects import ObjectInfo, ObjectStore
from storage.open import open_objects
from storage.orphans import InUse, StoredKind
from storage.pages import PageIndexError
from storage.pins import Pin, Pins
from storage.pruning import ORPHAN_GRACE, PruneEntry, PruneReport, prune
from storage.quantities import parse_bytes, parse_duration
from storage.records import first_reason
from storage.retention import Keep, Reason, RetentionPolicy, children_first
from storage.survey import needs_of

__all__ = [
    "CHAIN_LIMIT",
    "DELTA_PART_BYTES",
    "ORPHAN_GRACE",
    "PART_BYTES",
    "UNENCRYPTED",
    "Archive",
    "ArchiveDamagedError",
    "ArchiveStore",
    "Base",
    "BaseRef",
    "CheckpointDraft",
    "CheckpointManifest",
    "CheckpointNotFoundError",
    "Compression",
    "GroupManifest",
    "ImageManifest",
    "ImageRef",
    "Imported",
    "InUse",
    "Keep",
    "Key",
    "KeyFile",
    "KeyFileError",
    "KeyMissingError",
    "Keyring",
    "ManifestInvalidError",
    "MemoryObjectStore",
    "NoBaseError",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "ObjectTooLargeError",
    "PageIndexError",
    "PageRecord",
    "ParentGoneError",
    "Pin",
    "Pins",
    "PruneEntry",
    "PruneReport",
    "Reason",
    "RetentionPolicy",
    "StaticKeyring",
    "StorageError",
    "StoreAccessError",
    "StoreBusyError",
    "StoreClockError",
    "StoreConfigError",
    "StoreFullError",
    "StoreUnavailableError",
    "StoredKind",
    "Written",
    "children_first",
    "first_reason",
    "limit_bandwidth",
    "member_checkpoint_id",
    "needs_of",
    "new_archive_prefix",
    "new_checkpoint_id",
    "open_objects",
    "parse_bytes",
    "parse_duration",
    "prune",
    "workload_of",
]
