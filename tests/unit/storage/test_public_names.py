import storage


def test_public_names_are_these() -> None:
    assert set(storage.__all__) == {
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
    }
