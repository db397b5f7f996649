"""Reading finished archives; tests/unit/storage/test_follow.py reads unfinished ones."""

import itertools
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    UNENCRYPTED,
    Archive,
    ArchiveDamagedError,
    ArchiveStore,
    KeyMissingError,
    MemoryObjectStore,
    StaticKeyring,
    StoreUnavailableError,
)
from storage.objects import Result, Take
from tests.unit.storage.samples import KEYS, noise

PREFIX = "checkpoints/web"
PART = 1000
LARGE_PART = 4 << 20
PARALLEL = 3
HELD_BACK_BYTES = 6 << 20  # in frames that are decompressed ahead


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


@given(size=st.integers(1, 20_000), data=st.data())
@settings(deadline=None)
def test_archive_that_is_not_what_was_written_never_ends_cleanly(
    size: int, data: st.DataObject
) -> None:
    raw = noise(size)
    store = ArchiveStore(MemoryObjectStore(), keys=KEYS, part_bytes=PART)
    archive = store.write(PREFIX, [raw])
    changes: list[dict[str, object]] = [
        {"header_sha256": "0" * 64},
        {"raw_size": size + data.draw(st.sampled_from([-1, 1]))},
        {"size": archive.size + data.draw(st.integers(-archive.size, 2 * PART).filter(bool))},
        {"segments": archive.segments + data.draw(st.sampled_from([-1, 1]))},
    ]

    changed = archive.model_copy(update=data.draw(st.sampled_from(changes)))
    passed_on = read_until_damaged(store, changed)

    assert raw.startswith(passed_on)
    assert len(passed_on) < len(raw)


def test_a_header_of_another_time_is_refused_before_a_byte_goes_on() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS)
    old = store.write(PREFIX, [noise(3 << 20)])
    store.delete(old)
    store.write(PREFIX, [noise(3 << 20, seed=1)])

    assert read_until_damaged(store, old) == b""


def test_a_missing_header_is_named() -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS)
    archive = store.write(PREFIX, [b"state"])
    objects.delete(f"{PREFIX}/header.json")

    with pytest.raises(ArchiveDamagedError, match=r"header\.json is missing"):
        list(store.read(archive))


@pytest.mark.parametrize(("written", "read"), [(KEYS, UNENCRYPTED), (UNENCRYPTED, KEYS)])
def test_encryption_is_not_turned_off_by_the_archive(
    written: StaticKeyring, read: StaticKeyring
) -> None:
    objects = MemoryObjectStore()
    archive = ArchiveStore(objects, keys=written).write(PREFIX, [b"state"])

    with pytest.raises(KeyMissingError):
        list(ArchiveStore(objects, keys=read).read(archive))


@pytest.mark.parametrize("name", ["header.json", "parts/000001"])
def test_an_object_that_is_too_large_is_not_read(name: str) -> None:
    objects = MemoryObjectStore()
    store = ArchiveStore(objects, keys=KEYS, part_bytes=PART)
    archive = store.write(PREFIX, [noise(5000)])
    objects.put(f"{PREFIX}/{name}", bytes((16 << 20) + 1))

    with pytest.raises(ArchiveDamagedError, match=rf"{name} has more than \d+ bytes"):
        list(store.read(archive))


class CountingObjectStore(MemoryObjectStore):
    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        if "/parts/" in key:
            self.gets += 1
        return super().get(key, max_bytes=max_bytes)


def large_archive(objects: MemoryObjectStore) -> tuple[ArchiveStore, Archive]:
    """Twenty parts."""
    store = ArchiveStore(
        objects, keys=KEYS, part_bytes=LARGE_PART, parallel=PARALLEL, compression="none"
    )
    return store, store.write(PREFIX, (bytes(LARGE_PART) for _ in range(20)))


def test_parts_are_not_fetched_further_ahead_than_memory_allows() -> None:
    objects = CountingObjectStore()
    store, archive = large_archive(objects)
    passed_on = 0

    for piece in store.read(archive):
        passed_on += len(piece)
        assert objects.gets <= (passed_on + HELD_BACK_BYTES) // LARGE_PART + PARALLEL + 1


def test_nothing_is_asked_for_that_a_finished_archive_does_not_have() -> None:
    objects = CountingObjectStore()
    store, archive = large_archive(objects)

    for _ in store.read(archive):
        pass

    assert objects.gets == -(-archive.size // LARGE_PART)


class HangingObjectStore(CountingObjectStore):
    """Answers for the first two parts, and for the others when it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        data = super().get(key, max_bytes=max_bytes)
        if "/parts/" in key and int(key[-6:]) >= 2:
            self.released.wait()
        return data


def test_closed_reader_neither_waits_nor_fetches_more() -> None:
    objects, before = HangingObjectStore(), set(threading.enumerate())
    store, archive = large_archive(objects)
    stream = store.read(archive)
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


class SlowObjectStore(MemoryObjectStore):
    """Sends so many blocks of each part, and the others when it is released."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.released = threading.Event()
        self._blocks = blocks

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        def slowly(blocks: Iterator[bytes]) -> Iterator[bytes]:
            yield from itertools.islice(blocks, self._blocks)
            assert self.released.wait(30), "nobody took what was sent"
            yield from blocks

        return super().stream(
            key, lambda blocks: take(slowly(blocks)), block_bytes=block_bytes, max_bytes=max_bytes
        )


def test_a_part_is_passed_on_while_it_is_on_its_way() -> None:
    objects = SlowObjectStore(blocks=3)
    store, archive = large_archive(objects)
    stream = store.read(archive)

    before = [bytes(next(stream)), bytes(next(stream))]
    objects.released.set()

    assert b"".join([*before, *stream]) == bytes(20 * LARGE_PART)


class BreakingObjectStore(MemoryObjectStore):
    """Breaks off in each part, more than once, and is asked again as a real one is."""

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        def breaking_off(blocks: Iterator[bytes], after: int) -> Iterator[bytes]:
            yield from itertools.islice(blocks, after)
            raise StoreUnavailableError(self.url, "told to break off")

        for after in (2, 1, 3):
            with pytest.raises(StoreUnavailableError):
                super().stream(
                    key,
                    lambda blocks, after=after: take(breaking_off(blocks, after)),  # type: ignore[misc] # of ours
                    block_bytes=block_bytes,
                    max_bytes=max_bytes,
                )
        return super().stream(key, take, block_bytes=block_bytes, max_bytes=max_bytes)


def test_what_was_passed_on_of_a_part_that_broke_off_is_not_passed_on_again() -> None:
    store, archive = large_archive(BreakingObjectStore())

    assert b"".join(store.read(archive)) == bytes(20 * LARGE_PART)
