"""Archives that are fetched before they are needed."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage import ArchiveDamagedError, ArchiveStore, MemoryObjectStore, StoreFullError
from storage.spool import SPOOL_GRACE
from tests.unit.storage.chains import store_chain, tar_of
from tests.unit.storage.samples import KEYS, noise

PART = 20_000


class CountingObjectStore(MemoryObjectStore):
    """Remembers what was fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        self.fetched.append(key)
        return super().get(key, max_bytes=max_bytes)


@pytest.fixture
def objects() -> CountingObjectStore:
    return CountingObjectStore()


@pytest.fixture
def archives(objects: CountingObjectStore, tmp_path: Path) -> ArchiveStore:
    return ArchiveStore(objects, keys=KEYS, part_bytes=PART, spool=tmp_path / "spool")


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]


def test_what_was_fetched_before_is_not_fetched_again(
    archives: ArchiveStore, objects: CountingObjectStore, tmp_path: Path
) -> None:
    full, delta = store_chain(archives, 2)
    archives.prefetch(full.archive)
    objects.fetched.clear()

    assert b"".join(archives.read_checkpoint(delta)) == tar_of(1)

    assert objects.fetched
    assert not any(key.startswith(full.archive.prefix) for key in objects.fetched)
    assert sum(path.stat().st_size for path in files(tmp_path)) < full.archive.size + 2000
    archives.forget(full.archive)
    assert files(tmp_path) == []
    assert b"".join(archives.read_checkpoint(delta)) == tar_of(1)


def test_a_copy_is_sealed(archives: ArchiveStore, tmp_path: Path) -> None:
    archive = archives.write("some/prefix", [b"hunter2" * 10_000])
    archives.prefetch(archive)

    assert files(tmp_path)
    assert not any(b"hunter2" in path.read_bytes() for path in files(tmp_path))
    assert all(path.stat().st_mode & 0o077 == 0 for path in files(tmp_path))


def test_nothing_stays_of_an_archive_that_is_damaged(
    archives: ArchiveStore, objects: CountingObjectStore, tmp_path: Path
) -> None:
    archive = archives.write("some/prefix", [noise(5 * PART)])
    objects.put("some/prefix/parts/000003", bytes(PART))

    with pytest.raises(ArchiveDamagedError):
        archives.prefetch(archive)

    assert files(tmp_path) == []


def test_nothing_is_begun_that_would_fill_the_disk(
    archives: ArchiveStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archives.write("some/prefix", [noise(PART)])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=archive.size))

    with pytest.raises(StoreFullError):
        archives.prefetch(archive)

    assert files(tmp_path) == []


def test_a_changed_copy_is_not_restored(archives: ArchiveStore, tmp_path: Path) -> None:
    archive = archives.write("some/prefix", [noise(5 * PART)])
    archives.prefetch(archive)
    part = next(path for path in files(tmp_path) if path.name == "000002")
    part.write_bytes(part.read_bytes()[::-1])

    with pytest.raises(ArchiveDamagedError):
        list(archives.read(archive))


def test_what_was_left_behind_goes_at_the_next_time(archives: ArchiveStore, tmp_path: Path) -> None:
    old, new = (archives.write(f"{name}/prefix", [noise(PART)]) for name in ("old", "new"))
    archives.prefetch(old)
    for path in files(tmp_path):
        moment = path.stat().st_mtime - (SPOOL_GRACE + timedelta(minutes=1)).total_seconds()
        os.utime(path, (moment, moment))

    archives.prefetch(new)

    assert {path.parts[len(tmp_path.parts) + 1] for path in files(tmp_path)} == {"new"}


def test_without_a_spool_nothing_is_kept(objects: CountingObjectStore) -> None:
    archives = ArchiveStore(objects, keys=KEYS)
    archive = archives.write("some/prefix", [b"data"])

    archives.prefetch(archive)
    archives.forget(archive)

    assert objects.fetched == []
