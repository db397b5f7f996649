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
    ImageManifest,
    ImageRef,
    Imported,
    Part,
    new_checkpoint_id,
    workload_of,
)
from storage.memory import MemoryObjectStore
from storage.objects import ObjectInfo, ObjectStore
from storage.open import open_objects
from storage.orphans import InUse, StoredKind
from storage.pins import Pin, Pins
from storage.pruning import ORPHAN_GRACE, PruneEntry, PruneReport, prune
from storage.quantities import parse_bytes, parse_duration
from storage.retention import Keep, Reason, RetentionPolicy, children_first
from storage.survey import parent_of

__all__ = [
    "ORPHAN_GRACE",
    "PART_BYTES",
    "Archive",
    "ArchiveDamagedError",
    "ArchiveStore",
    "CheckpointManifest",
    "CheckpointNotFoundError",
    "ImageManifest",
    "ImageRef",
    "Imported",
    "InUse",
    "Keep",
    "ManifestInvalidError",
    "MemoryObjectStore",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "Part",
    "Pin",
    "Pins",
    "PruneEntry",
    "PruneReport",
    "Reason",
    "RetentionPolicy",
    "StorageError",
    "StoreAccessError",
    "StoreConfigError",
    "StoreUnavailableError",
    "StoredKind",
    "children_first",
    "new_checkpoint_id",
    "open_objects",
    "parent_of",
    "parse_bytes",
    "parse_duration",
    "prune",
    "workload_of",
]
