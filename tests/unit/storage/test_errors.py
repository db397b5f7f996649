import pickle

import pytest

from storage import (
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

ERRORS = [
    StoreUnavailableError("s3://bucket", "connection refused"),
    StoreBusyError("s3://bucket", "slow down"),
    StoreFullError("s3://bucket", "no space left on device"),
    StoreAccessError("s3://bucket", "wrong key"),
    StoreClockError("s3://bucket", 4000),
    ObjectTooLargeError("a/b", 4096),
    StoreConfigError("object store URL", "it is empty"),
    ObjectNotFoundError("a/b"),
    ObjectExistsError("a/b"),
    CheckpointNotFoundError("web/20261123T140311Z-1f9a0c"),
    ArchiveDamagedError("checkpoints/web", "part 3 is missing"),
    KeyFileError("/etc/keys.json", "it does not exist"),
    KeyMissingError("20261123-1f9a0c", "key file /etc/keys.json"),
    ManifestInvalidError("checkpoints/web/manifest.json", "version: wrong"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: StorageError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 # what the task queue does

    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_messages_are_one_line_and_name_every_identifier(error: StorageError) -> None:
    assert "\n" not in str(error)
    assert vars(error)
    assert all(str(value) in str(error) for value in vars(error).values())
