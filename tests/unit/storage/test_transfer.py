import threading
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage import (
    Archive,
    ArchiveDamagedError,
    ArchiveStore,
    MemoryObjectStore,
    StoreUnavailableError,
)
from storage.codec import CodecName
from storage.objects import Blob
from tests.unit.storage.samples import FailingObjectStore, chunked, noise

PREFIX = "checkpoints/web"
PART = 1000
PARALLEL = 3
CODECS = st.sampled_from(["none", "zstd"])


def read_until_damaged(store: ArchiveStore, archive: Archive) -> bytes:
    """What is passed on before ArchiveDamagedError."""
    passed_on = b""

    def read() -> None:
        nonlocal passed_on
        for piece in store.read(archive):
            passed_on += piece

    with pytest.raises(ArchiveDamagedError, match=archive.prefix):
        read()
    return passed_on


@given(
    codec=CODECS,
    chunks=st.lists(st.binary(max_size=3000), max_size=20),
    part_bytes=st.integers(1, 5000),
    parallel=st.integers(1, 4),
)
def test_any_stream_comes_back(
    codec: CodecName, chunks: list[bytes], part_bytes: int, parallel: int
) -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, part_bytes=part_bytes, parallel=parallel, codec=codec)

    archive = store.write(PREFIX, chunks)

    assert b"".join(store.read(archive)) == b"".join(chunks)
    assert [part.size for part in archive.parts[:-1]] == [part_bytes] * (len(archive.parts) - 1)
    assert sum(info.size for info in objects.list(f"{PREFIX}/parts/")) == archive.size


@given(codec=CODECS, size=st.integers(1, 20_000), data=st.data())
def test_damaged_parts_are_never_passed_on(
    codec: CodecName, size: int, data: st.DataObject
) -> None:
    raw, objects = noise(size), MemoryObjectStore()
    store = ArchiveStore(objects, part_bytes=PART, codec=codec)
    archive = store.write(PREFIX, [raw])
    first, second = (
        f"{PREFIX}/parts/{data.draw(st.integers(0, len(archive.parts) - 1)):06d}" for _ in range(2)
    )
    content = objects.get(first)
    match data.draw(st.sampled_from(["flip", "cut", "grow", "drop", "swap"])):
        case "flip":
            damaged = bytearray(content)
            damaged[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
            objects.put(first, damaged)
        case "cut":
            objects.put(first, content[: data.draw(st.integers(0, len(content) - 1))])
        case "grow":
            objects.put(first, content + b"\0")
        case "drop":
            objects.delete(first)
        case "swap":
            assume(objects.get(second) != content)
            objects.put(first, objects.get(second))
            objects.put(second, content)

    passed_on = read_until_damaged(store, archive)

    verified = int(min(first, second)[-6:]) if first == second else 0
    assert raw.startswith(passed_on)
    assert len(passed_on) < len(raw)
    if codec == "none" and verified:
        assert len(passed_on) <= verified * PART


@given(codec=CODECS, size=st.integers(1, 20_000), data=st.data())
def test_archive_that_is_not_the_whole_never_ends_cleanly(
    codec: CodecName, size: int, data: st.DataObject
) -> None:
    raw = noise(size)
    store = ArchiveStore(MemoryObjectStore(), part_bytes=PART, codec=codec)
    archive = store.write(PREFIX, [raw])
    kept = archive.parts[: data.draw(st.integers(0, len(archive.parts) - 1))]
    changes: list[dict[str, object]] = [
        {"parts": kept, "size": sum(part.size for part in kept)},
        {"raw_sha256": "0" * 64},
        {"raw_size": size + 1},
        {"codec": "none" if codec == "zstd" else "zstd"},
    ]

    changed = archive.model_copy(update=data.draw(st.sampled_from(changes)))
    passed_on = read_until_damaged(store, changed)

    assert len(passed_on) < archive.size
    assert passed_on != raw


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
        with self._changed:
            self._changed.wait_for(lambda: self._is_next(key) and self._is_far_ahead())
            super().put(key, data, if_absent=if_absent)
            self._acknowledged += len(data)
            self._changed.notify_all()

    def _is_next(self, key: str) -> bool:
        return int(key[-6:]) * PART == self._acknowledged

    def _is_far_ahead(self) -> bool:
        return self._pulled >= min(self._total, self._acknowledged + (PARALLEL + 1) * PART)


@pytest.mark.timeout(60)
def test_source_is_not_read_further_ahead_than_memory_allows() -> None:
    objects = SlowestObjectStore(total=50 * PART)
    store = ArchiveStore(objects, part_bytes=PART, parallel=PARALLEL, codec="none")

    store.write(PREFIX, objects.source(bytes(PART // 10)))

    assert (PARALLEL + 1) * PART <= objects.most_ahead <= (PARALLEL + 2) * PART


class CountingObjectStore(MemoryObjectStore):
    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        self.gets += 1
        return super().get(key, max_bytes=max_bytes)


def test_parts_are_not_fetched_further_ahead_than_memory_allows() -> None:
    objects = CountingObjectStore()
    store = ArchiveStore(objects, part_bytes=PART, parallel=PARALLEL, codec="none")
    archive = store.write(PREFIX, [noise(50 * PART)])

    for read, _ in enumerate(store.read(archive)):
        # one piece is held back, so the reader is one part behind
        assert objects.gets <= read + 1 + PARALLEL + 2


class HangingObjectStore(CountingObjectStore):
    """Answers for the first two parts, and for the others when it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        data = super().get(key, max_bytes=max_bytes)
        if int(key[-6:]) >= 2:
            self.released.wait()
        return data


def test_closed_reader_neither_waits_nor_fetches_more() -> None:
    objects, before = HangingObjectStore(), set(threading.enumerate())
    store = ArchiveStore(objects, part_bytes=PART, parallel=PARALLEL, codec="none")
    stream = store.read(store.write(PREFIX, [noise(50 * PART)]))
    next(stream)
    fetching = set(threading.enumerate()) - before

    closing = threading.Thread(target=stream.close)
    closing.start()
    closing.join(30)
    closed_at_once = not closing.is_alive()
    objects.released.set()
    for thread in {closing, *fetching}:
        thread.join()

    assert closed_at_once
    assert objects.gets <= 2 + PARALLEL


def test_part_of_another_size_is_named() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, part_bytes=PART, codec="none")
    archive = store.write(PREFIX, [noise(3 * PART)])
    objects.put(f"{PREFIX}/parts/000001", b"short")

    with pytest.raises(ArchiveDamagedError, match="part 1 has 5 bytes instead of 1000"):
        list(store.read(archive))


def test_progress_counts_raw_bytes() -> None:
    store = ArchiveStore(MemoryObjectStore(), part_bytes=PART)
    written: list[int] = []
    read: list[int] = []

    archive = store.write(PREFIX, chunked(bytes(5000), 2000), progress=written.append)
    for _ in store.read(archive, progress=read.append):
        pass

    assert written == [2000, 4000, 5000]
    assert read[-1] == 5000


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_failed_upload_is_raised_and_leaves_nothing(codec: CodecName) -> None:
    objects = FailingObjectStore("000003")
    store = ArchiveStore(objects, part_bytes=PART, codec=codec)

    with pytest.raises(StoreUnavailableError, match="told to fail"):
        store.write(PREFIX, chunked(noise(20 * PART), 300))

    assert list(objects.list("")) == []


def test_failure_to_clean_up_does_not_hide_the_failure() -> None:
    objects = FailingObjectStore("000003", deletes=False)
    store = ArchiveStore(objects, part_bytes=PART, codec="none")

    with pytest.raises(StoreUnavailableError, match="told to fail"):
        store.write(PREFIX, chunked(noise(20 * PART), 300))


def test_no_thread_stays() -> None:
    before = set(threading.enumerate())
    store = ArchiveStore(FailingObjectStore("000003"), part_bytes=PART)

    with pytest.raises(StoreUnavailableError):
        store.write(PREFIX, chunked(noise(20 * PART), 300))

    assert set(threading.enumerate()) == before
