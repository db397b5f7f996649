import errno
import os
from pathlib import Path

import pytest

from storage import ObjectExistsError, StorageError, StoreAccessError, StoreUnavailableError
from storage.local import LocalObjectStore


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def objects(directory: Path) -> LocalObjectStore:
    return LocalObjectStore(directory)


def files_below(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_files_and_directories_are_private(objects: LocalObjectStore, directory: Path) -> None:
    objects.put("a/b/c", b"data")

    assert (directory / "a/b/c").stat().st_mode & 0o777 == 0o600
    for made in (directory, directory / "a", directory / "a/b"):
        assert made.stat().st_mode & 0o777 == 0o700


def test_no_temporary_file_stays(objects: LocalObjectStore, directory: Path) -> None:
    objects.put("key", b"old")
    objects.put("key", b"new")
    with pytest.raises(ObjectExistsError):
        objects.put("key", b"newer", if_absent=True)

    assert files_below(directory) == ["key"]


def test_listing_leaves_temporary_files_out(objects: LocalObjectStore, directory: Path) -> None:
    objects.put("key", b"data")
    (directory / ".of-a-killed-writer").write_bytes(b"half")

    assert [info.key for info in objects.list("")] == ["key"]


def test_delete_takes_empty_directories_along(objects: LocalObjectStore, directory: Path) -> None:
    objects.put("a/b/c", b"data")
    objects.put("a/d", b"data")

    objects.delete("a/b/c")
    assert sorted(path.name for path in (directory / "a").iterdir()) == ["d"]

    objects.delete("a/d")
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StoreUnavailableError),
        (errno.EDQUOT, StoreUnavailableError),
        (errno.EIO, StoreUnavailableError),
        (errno.EACCES, StoreAccessError),
        (errno.EROFS, StoreAccessError),
    ],
)
def test_failed_write_is_ours_and_leaves_nothing(
    objects: LocalObjectStore,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[StorageError],
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    objects.put("first", b"makes the directory")
    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(expected, match=os.strerror(number).lower()) as failure:
        objects.put("second", b"data")

    assert isinstance(failure.value.__cause__, OSError)
    assert files_below(directory) == ["first"]


def test_file_in_the_place_of_the_directory_is_reported(directory: Path) -> None:
    directory.write_bytes(b"not a directory")

    with pytest.raises(StoreUnavailableError, match=directory.as_uri()):
        LocalObjectStore(directory).check()


def test_dangling_link_in_the_place_of_the_directory_is_reported(directory: Path) -> None:
    directory.symlink_to(directory.parent / "gone")

    with pytest.raises(StoreUnavailableError, match="does not stay"):
        LocalObjectStore(directory).check()
