import errno
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import (
    ObjectExistsError,
    StorageError,
    StoreAccessError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
)
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
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
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


@pytest.mark.parametrize("if_absent", [False, True])
def test_file_and_directory_are_on_disk_before_a_put_returns(
    objects: LocalObjectStore, directory: Path, monkeypatch: pytest.MonkeyPatch, if_absent: bool
) -> None:
    """The content is synced before it gets its name, the name before the put returns."""
    synced = []

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.is_dir(), (directory / "a/key").exists()))

    objects.put("a/first", b"makes the directories")
    monkeypatch.setattr(os, "fsync", note)
    objects.put("a/key", b"data", if_absent=if_absent)

    assert synced == [(False, False), (True, True)]


def test_file_system_without_hard_links_is_refused(
    objects: LocalObjectStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", fail)

    with pytest.raises(StoreConfigError, match=f"{directory} is on a file system without"):
        objects.check()

    assert files_below(directory) == []


KILLED_WRITER = """
import os, sys
from pathlib import Path
from storage.local import LocalObjectStore
os.fsync = lambda _: os.kill(os.getpid(), 9)
Path(sys.argv[1], "a").mkdir(parents=True)
LocalObjectStore(Path(sys.argv[1])).put("a/key", b"data")
"""


def test_what_a_killed_writer_leaves_is_swept(objects: LocalObjectStore, directory: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(directory)], check=False)
    objects.put("b/kept", b"data")
    (directory / ".of-somebody-else").write_bytes(b"not ours")
    later = datetime.now(UTC) + timedelta(minutes=1)

    assert [info.key for info in objects.list("")] == ["b/kept"]
    assert objects.sweep(before=later - timedelta(hours=1)) == []

    (found,) = objects.sweep(before=later, dry_run=True)
    assert found.size == len(b"data")
    assert objects.sweep(before=later) == [found]
    assert objects.sweep(before=later) == []
    assert not (directory / "a").exists()
    assert files_below(directory) == [".of-somebody-else", "kept"]


def test_sweep_of_a_store_that_is_not_there_finds_nothing(objects: LocalObjectStore) -> None:
    assert objects.sweep(before=datetime.now(UTC)) == []
