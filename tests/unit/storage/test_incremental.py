"""Deltas in the store: what they may be told apart from, and what becomes of failures."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pydantic import ValidationError

from storage import (
    DELTA_PART_BYTES,
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointManifest,
    Key,
    KeyMissingError,
    MemoryObjectStore,
    NoBaseError,
    PageIndexError,
    StaticKeyring,
    StoreFullError,
    new_archive_prefix,
    new_checkpoint_id,
)
from storage.objects import Blob
from tests.unit.storage.chains import store_chain, store_tar, tar_of
from tests.unit.storage.samples import KEYS, NOON, chunked, store_checkpoint

PART = 20_000
NEW_KEY = Key(id="new", created=NOON, secret=bytes(reversed(range(32))))


class FullAfterOneArchive(MemoryObjectStore):
    """Has no space for another archive's header."""

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        if key.endswith("header.json") and list(self.list("")):
            raise StoreFullError(self.url, "told to be full")
        super().put(key, data, if_absent=if_absent)


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def archives(objects: MemoryObjectStore) -> ArchiveStore:
    return ArchiveStore(objects, keys=KEYS, part_bytes=PART)


def tar(archives: ArchiveStore, manifest: CheckpointManifest) -> bytes:
    return b"".join(archives.read_checkpoint(manifest))


def test_a_chain_lives_through_a_rotation(
    archives: ArchiveStore, objects: MemoryObjectStore
) -> None:
    old = store_chain(archives, 2)
    both = StaticKeyring(KEYS.current(), NEW_KEY)
    rotated = ArchiveStore(objects, keys=both, part_bytes=PART)

    new = store_tar(rotated, tar_of(2), base=rotated.newest_base("web", full_every=8))

    assert new.parent == old[-1].id
    assert new.archive.size < old[0].archive.size / 5
    assert tar(rotated, new) == tar_of(2)


def test_without_the_old_key_the_next_one_is_a_full_one(
    archives: ArchiveStore, objects: MemoryObjectStore
) -> None:
    store_chain(archives, 2)
    other = ArchiveStore(objects, keys=StaticKeyring(NEW_KEY), part_bytes=PART)

    with pytest.raises(NoBaseError, match="key sample is not in") as caught:
        other.newest_base("web", full_every=8)

    assert isinstance(caught.value.__cause__, KeyMissingError)


def test_every_chain_has_a_key_of_its_own(archives: ArchiveStore) -> None:
    first, second = store_chain(archives, 2), store_chain(archives, 1, workload="db")
    keys = []
    for manifest in *first, *second:
        assert manifest.base
        with archives.base(manifest.base) as base:
            keys.append(base.key)

    assert keys[0] == keys[1] != keys[2]


def test_an_index_of_another_tar_is_refused(archives: ArchiveStore) -> None:
    web, other = (store_chain(archives, 1, first=number)[0] for number in (0, 1))
    assert web.base
    assert other.pages
    pages = web.base.pages.model_copy(update={"index": other.pages.index})
    mixed = web.base.model_copy(update={"pages": pages})

    with pytest.raises(PageIndexError, match="of another tar"), archives.base(mixed):
        pass


def test_an_index_is_verified_before_it_is_used(
    archives: ArchiveStore, objects: MemoryObjectStore
) -> None:
    web = store_chain(archives, 1)[0]
    assert web.base
    objects.delete(f"{web.base.pages.index.prefix}/parts/000000")

    with pytest.raises(ArchiveDamagedError), archives.base(web.base):
        pass


def test_a_failing_source_leaves_nothing(
    archives: ArchiveStore, objects: MemoryObjectStore
) -> None:
    web = store_chain(archives, 1)[0]
    before = {info.key for info in objects.list("")}

    def source() -> Iterator[bytes]:
        yield tar_of(1)[:100_000]
        raise RuntimeError("the container is gone")

    prefix = new_archive_prefix(f"checkpoints/{new_checkpoint_id('web', NOON)}")
    assert web.base
    with pytest.raises(RuntimeError, match="gone"), archives.base(web.base) as base:
        archives.write_pages(prefix, source(), base=base)

    assert {info.key for info in objects.list("")} == before


def test_an_index_that_cannot_be_stored_takes_its_archive_along() -> None:
    objects = FullAfterOneArchive()
    archives = ArchiveStore(objects, keys=KEYS, part_bytes=1 << 20)

    with pytest.raises(StoreFullError):
        archives.write_pages("checkpoints/x/0123456789abcdef", [tar_of(0)])

    assert list(objects.list("")) == []


def test_progress_counts_the_tar(archives: ArchiveStore) -> None:
    web = store_chain(archives, 1)[0]
    written, read = list[int](), list[int]()
    prefix = new_archive_prefix(f"checkpoints/{new_checkpoint_id('web', NOON)}")
    assert web.base
    with archives.base(web.base) as base:
        archives.write_pages(prefix, chunked(tar_of(1), 9999), base=base, progress=written.append)
    child = store_tar(archives, tar_of(1), base=web.base)

    for _ in archives.read_checkpoint(child, progress=read.append):
        pass

    assert written[-1] == read[-1] == child.tar_bytes == len(tar_of(1))


def test_who_stops_reading_leaves_no_thread(archives: ArchiveStore) -> None:
    chain = store_chain(archives, 4, size=2000)
    before = threading.active_count()
    stream = archives.read_checkpoint(chain[-1])
    next(stream)
    assert threading.active_count() > before

    stream.close()

    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.name.startswith(("get", "unzstd")):
            thread.join(10)
    assert threading.active_count() <= before


@pytest.mark.parametrize("length", [1, 4])
def test_memory_of_a_chain_is_bounded(objects: MemoryObjectStore, length: int) -> None:
    part = 1 << 20
    archives = ArchiveStore(objects, keys=KEYS, part_bytes=part, compression="none")
    web = store_tar(archives, tar_of(0, size=6000))  # 24 MiB
    for _ in range(length):
        web = store_tar(archives, tar_of(0, size=6000)[::-1], base=web.base)  # nothing is the same

    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in archives.read_checkpoint(web))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    frames = 12 << 20  # of each archive: compressed and not, and what is cut from them
    full = (2 + 2) * part + frames
    assert size == web.tar_bytes
    assert part <= DELTA_PART_BYTES
    assert peak < full + length * (3 * part + frames)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain": ()}, "a parent, and no chain"),
        ({"parent": "web/20261123T120000Z-000000"}, "ends elsewhere"),
        ({"parent": None}, "ends elsewhere"),
    ],
)
def test_a_chain_that_does_not_lead_to_the_parent_is_invalid(
    archives: ArchiveStore, changes: dict[str, object], reason: str
) -> None:
    child = store_chain(archives, 2)[1]

    with pytest.raises(ValidationError, match=reason):
        CheckpointManifest.model_validate(child.model_dump() | changes)


def test_a_base_may_lie_in_the_checkpoint_s_own_place(archives: ArchiveStore) -> None:
    """As that of a migration does."""
    checkpoint_id = new_checkpoint_id("web", NOON)
    place = f"checkpoints/{checkpoint_id}"
    base = archives.write_pages(new_archive_prefix(place), [tar_of(0)])
    with archives.base(base.as_base()) as opened:
        last = archives.write_pages(new_archive_prefix(place), [tar_of(1)], base=opened)
    plain = store_checkpoint(archives).model_dump()
    parts = last.fields | {"chain": (base.archive,)}
    manifest = CheckpointManifest.model_validate(plain | parts | {"id": checkpoint_id})
    archives.publish(manifest)
    child = store_tar(archives, tar_of(2), base=manifest.base, created=NOON + timedelta(seconds=1))

    with pytest.raises(ValueError, match="must be a full"):
        last.as_base()
    assert tar(archives, manifest) == tar_of(1)
    assert tar(archives, child) == tar_of(2)
    archives.delete_checkpoint(checkpoint_id)
    with pytest.raises(ArchiveDamagedError):
        tar(archives, child)


def test_a_delta_can_be_read_while_it_is_written(archives: ArchiveStore) -> None:
    full = store_tar(archives, tar_of(0))
    checkpoint_id = new_checkpoint_id("web", NOON + timedelta(seconds=1))
    prefix = new_archive_prefix(f"checkpoints/{checkpoint_id}")
    waits = threading.Semaphore(0)
    assert full.base
    with ThreadPoolExecutor(1) as pool, archives.base(full.base) as base:
        chain = full.base.chain
        stream = archives.follow(checkpoint_id, prefix, alive=waits.release, chain=chain)
        reading = pool.submit(lambda: b"".join(stream))
        assert waits.acquire(timeout=30)
        written = archives.write_pages(prefix, [tar_of(1)], base=base)
        while not waits.acquire(timeout=0.01):  # it has all parts, and waits for the manifest
            assert not reading.done()
        assert not reading.done()
        plain = store_checkpoint(archives).model_dump() | {"id": checkpoint_id}
        lineage = {"parent": full.id, "chain": chain}
        archives.publish(CheckpointManifest.model_validate(plain | written.fields | lineage))

        assert reading.result(30) == tar_of(1)
