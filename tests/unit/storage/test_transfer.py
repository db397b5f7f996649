import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    ArchiveStore,
    Compression,
    MemoryObjectStore,
    ObjectExistsError,
    StoreUnavailableError,
)
from storage.frames import FRAME_BYTES
from storage.header import TAG_BYTES
from storage.objects import Blob
from tests.unit.storage.samples import KEYS, FailingObjectStore, chunked, noise

PREFIX = "checkpoints/web"
PART = 1000
LARGE_PART = 4 << 20
FRAMES_ON_THEIR_WAY = 6
PARALLEL = 3
MODES = st.sampled_from(["auto", "none", "normal"])


@given(
    compression=MODES,
    chunks=st.lists(st.binary(max_size=3000), max_size=20),
    part_bytes=st.integers(TAG_BYTES + 50, 5000),
    parallel=st.integers(1, 4),
)
@settings(deadline=None)
def test_any_stream_comes_back(
    compression: Compression, chunks: list[bytes], part_bytes: int, parallel: int
) -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(
        objects, keys=KEYS, part_bytes=part_bytes, parallel=parallel, compression=compression
    )

    archive = store.write(PREFIX, chunks)

    assert b"".join(store.read(archive)) == b"".join(chunks)
    sizes = [info.size for info in objects.list(f"{PREFIX}/parts/")]
    assert sum(sizes) == archive.size
    assert sorted(sizes)[1:] == [part_bytes] * (len(sizes) - 1)
    assert archive.raw_size == sum(map(len, chunks))


def test_nothing_of_the_stream_can_be_seen() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS, compression="none")

    store.write(PREFIX, [b"a secret of the container"])

    for info in objects.list(""):
        assert b"secret of" not in objects.get(info.key)


def test_the_header_comes_first() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS)

    def source() -> Iterator[bytes]:
        assert [info.key for info in objects.list("")] == [f"{PREFIX}/header.json"]
        yield b"state"

    store.write(PREFIX, source())


def test_a_full_part_is_there_before_the_source_ends() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS, part_bytes=PART, compression="none")

    def source() -> Iterator[bytes]:
        yield noise(20 << 20)
        assert f"{PREFIX}/parts/000000" in [info.key for info in objects.list("")]
        yield b"more"

    store.write(PREFIX, source())


def test_a_prefix_is_used_once() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS)
    kept = store.write(PREFIX, [b"first"])

    with pytest.raises(ObjectExistsError):
        store.write(PREFIX, [b"second"])

    assert b"".join(store.read(kept)) == b"first"


class SlowestObjectStore(MemoryObjectStore):
    """Acknowledges parts in order, each when the source was read as far ahead as it may be."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self._total = total
        self._changed = threading.Condition()
        self._pulled = 0
        self._acknowledged = 0
        self.most_ahead = 0

    def source(self, chunk: bytes) -> Iterator[bytes]:
        while self._pulled < self._total:
            with self._changed:
                self._pulled += len(chunk)
                self.most_ahead = max(self.most_ahead, self._pulled - self._acknowledged)
                self._changed.notify_all()
            yield chunk

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        if "/parts/" not in key:
            return super().put(key, data, if_absent=if_absent)
        with self._changed:
            self._changed.wait_for(lambda: self._is_next(key) and self._is_far_ahead())
            self._acknowledged += len(data)
            self._changed.notify_all()
        return None

    def _is_next(self, key: str) -> bool:
        return int(key[-6:]) * LARGE_PART == self._acknowledged

    def _is_far_ahead(self) -> bool:
        ahead = self._acknowledged + (PARALLEL + 1) * LARGE_PART
        return self._pulled >= min(self._total, ahead)


@pytest.mark.timeout(60)
def test_source_is_not_read_further_ahead_than_memory_allows() -> None:
    objects = SlowestObjectStore(total=20 * LARGE_PART)
    store = ArchiveStore(
        objects, keys=KEYS, part_bytes=LARGE_PART, parallel=PARALLEL, compression="none"
    )

    store.write(PREFIX, objects.source(bytes(LARGE_PART // 10)))

    least = (PARALLEL + 1) * LARGE_PART
    assert least <= objects.most_ahead <= least + LARGE_PART + FRAMES_ON_THEIR_WAY * FRAME_BYTES


def test_progress_counts_raw_bytes() -> None:
    store = ArchiveStore(MemoryObjectStore(), keys=KEYS, part_bytes=PART)
    written: list[int] = []
    read: list[int] = []

    archive = store.write(PREFIX, chunked(bytes(5000), 2000), progress=written.append)
    for _ in store.read(archive, progress=read.append):
        pass

    assert written == [2000, 4000, 5000]
    assert read[-1] == 5000


@pytest.mark.parametrize("compression", ["none", "normal"])
def test_failed_upload_is_raised_and_leaves_nothing(compression: Compression) -> None:
    objects = FailingObjectStore("000003")
    store = ArchiveStore(objects, keys=KEYS, part_bytes=PART, compression=compression)

    with pytest.raises(StoreUnavailableError, match="told to fail"):
        store.write(PREFIX, chunked(noise(20 * PART), 300))

    assert list(objects.list("")) == []


def test_failure_to_clean_up_does_not_hide_the_failure() -> None:
    objects = FailingObjectStore("000003", deletes=False)
    store = ArchiveStore(objects, part_bytes=PART, keys=KEYS, compression="none")

    with pytest.raises(StoreUnavailableError, match="told to fail"):
        store.write(PREFIX, chunked(noise(20 * PART), 300))


def test_no_thread_stays() -> None:
    before = set(threading.enumerate())
    store = ArchiveStore(FailingObjectStore("000003"), keys=KEYS, part_bytes=PART)

    with pytest.raises(StoreUnavailableError):
        store.write(PREFIX, chunked(noise(20 * PART), 300))

    assert set(threading.enumerate()) == before
