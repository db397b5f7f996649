"""Whether a checkpoint can be restored, or only started anew from its files."""

from __future__ import annotations

from storage import ArchiveStore, CheckpointManifest, GroupManifest


def holds_memory(archives: ArchiveStore, found: CheckpointManifest | GroupManifest) -> bool:
    """Whether a checkpoint, of a group all of them, has the memory. Raises StorageError."""
    if isinstance(found, CheckpointManifest):
        return found.memory
    return all(archives.manifest(member).memory for member in found.members)
