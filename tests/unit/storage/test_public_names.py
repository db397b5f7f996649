import storage


def test_public_names_are_these() -> None:
    assert set(storage.__all__) == {
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
    }
