"""Reading an archive while it is being written."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    Archive,
    ArchiveDamagedError,
    ArchiveStore,
    Compression,
    MemoryObjectStore,
    new_archive_prefix,
    new_checkpoint_id,
)
from tests.unit.storage.samples import KEYS, NOON, manifest_of, noise

PART = 100_000
PARALLEL = 2
PATIENCE_SECONDS = 30


class WriterGoneError(Exception):
    pass


class Relay:
    """A checkpoint on its way from a writer that is told what to do to a reader in a thread."""

    def __init__(self, *, part_bytes: int = PART, compression: Compression = "none") -> None:
        self.objects = MemoryObjectStore()
        self.archives = ArchiveStore(
            self.objects,
            keys=KEYS,
            part_bytes=part_bytes,
            parallel=PARALLEL,
            compression=compression,
        )
        self.id = new_checkpoint_id("web", NOON)
        self.prefix = new_archive_prefix(f"checkpoints/{self.id}")
        self.received = bytearray()
        self.waits = 0
        self.failure: Exception | None = None
        self._changed = threading.Condition()

    def alive(self) -> None:
        with self._changed:
            self.waits += 1
            self._changed.notify_all()
        if self.failure is not None:
            raise self.failure

    def read(self) -> bytes:
        for piece in self.archives.follow(self.id, self.prefix, alive=self.alive):
            with self._changed:
                self.received += piece
                self._changed.notify_all()
        return bytes(self.received)

    def wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(ready, PATIENCE_SECONDS)

    def wait_until_it_waits(self) -> None:
        """Return when all that is there was looked for again, and read."""
        seen = self.waits
        self.wait(lambda: self.waits >= seen + 3)

    def publish(self, archive: Archive) -> None:
        self.archives.publish(manifest_of(archive, self.id))


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def following(relay: Relay, thread: ThreadPoolExecutor) -> Future[bytes]:
    """Start to follow; return when the reader waits for what is not there yet."""
    found = thread.submit(relay.read)
    relay.wait_until_it_waits()
    return found


@given(
    size=st.integers(0, 20_000),
    part_bytes=st.integers(100, 5000),
    compression=st.sampled_from(["none", "normal"]),
)
@settings(deadline=None)
def test_a_finished_archive_is_read_at_once(
    size: int, part_bytes: int, compression: Compression
) -> None:
    relay = Relay(part_bytes=part_bytes, compression=compression)
    relay.publish(relay.archives.write(relay.prefix, [noise(size)]))

    assert relay.read() == noise(size)
    assert relay.waits == 0


def test_a_stream_is_read_while_it_is_written(relay: Relay, thread: ThreadPoolExecutor) -> None:
    raw = noise(30 << 20)
    found = following(relay, thread)

    def source() -> Iterator[bytes]:
        yield raw[: 20 << 20]
        # some of it is in the pipeline of the writer, and of the reader
        relay.wait(lambda: len(relay.received) >= 8 << 20)
        yield raw[20 << 20 :]

    archive = relay.archives.write(relay.prefix, source())
    relay.wait(lambda: len(relay.received) > 20 << 20)
    relay.publish(archive)

    assert found.result(PATIENCE_SECONDS) == raw


@pytest.mark.parametrize("size", [1, 500_000])
def test_the_last_bytes_wait_for_the_manifest(
    relay: Relay, thread: ThreadPoolExecutor, size: int
) -> None:
    found = following(relay, thread)
    archive = relay.archives.write(relay.prefix, [noise(size)])
    relay.wait_until_it_waits()

    assert len(relay.received) < size
    assert not found.done()
    relay.publish(archive)

    assert found.result(PATIENCE_SECONDS) == noise(size)


@pytest.mark.parametrize("written", ["nothing", "a part", "all parts"])
def test_what_alive_raises_ends_it(relay: Relay, thread: ThreadPoolExecutor, written: str) -> None:
    def source() -> Iterator[bytes]:
        yield noise(20 << 20)
        if written == "a part":
            relay.failure = WriterGoneError("the source's worker was killed")
            with pytest.raises(WriterGoneError):
                found.result(PATIENCE_SECONDS)

    found = following(relay, thread)
    if written != "nothing":
        relay.archives.write(relay.prefix, source())
    relay.failure = WriterGoneError("the source's worker was killed")

    with pytest.raises(WriterGoneError):
        found.result(PATIENCE_SECONDS)
    assert len(relay.received) < 20 << 20


def test_a_writer_that_fails_and_cleans_up_never_looks_complete(
    relay: Relay, thread: ThreadPoolExecutor
) -> None:
    def source() -> Iterator[bytes]:
        yield noise(20 << 20)
        relay.wait(lambda: len(relay.received) > 0)
        raise RuntimeError("the container is gone")

    found = following(relay, thread)
    with pytest.raises(RuntimeError, match="container is gone"):
        relay.archives.write(relay.prefix, source())
    relay.wait_until_it_waits()
    relay.failure = WriterGoneError()

    with pytest.raises(WriterGoneError):
        found.result(PATIENCE_SECONDS)
    assert noise(20 << 20).startswith(bytes(relay.received))


def test_a_checkpoint_of_another_try_is_refused(relay: Relay, thread: ThreadPoolExecutor) -> None:
    found = following(relay, thread)
    relay.archives.write(relay.prefix, [noise(500_000)])
    again = relay.archives.write(new_archive_prefix(f"checkpoints/{relay.id}"), [noise(500_000)])
    relay.wait_until_it_waits()
    relay.publish(again)

    with pytest.raises(ArchiveDamagedError, match="does not agree with its manifest"):
        found.result(PATIENCE_SECONDS)
    assert len(relay.received) < 500_000


def test_a_checkpoint_that_was_published_from_another_try_is_refused_at_once(relay: Relay) -> None:
    again = relay.archives.write(new_archive_prefix(f"checkpoints/{relay.id}"), [noise(500_000)])
    relay.publish(again)
    relay.archives.write(relay.prefix, [noise(500_000)])

    with pytest.raises(ArchiveDamagedError, match="manifest names"):
        relay.read()
    assert relay.received == b""


def test_a_manifest_that_says_something_else_is_refused(relay: Relay) -> None:
    archive = relay.archives.write(relay.prefix, [noise(500_000)])
    relay.publish(archive.model_copy(update={"raw_size": 499_999}))

    with pytest.raises(ArchiveDamagedError, match="does not agree"):
        relay.read()
    assert len(relay.received) < 500_000


def test_a_header_from_elsewhere_is_refused(relay: Relay) -> None:
    relay.archives.write("elsewhere", [noise(500_000)])
    for info in list(relay.objects.list("elsewhere/")):
        moved = info.key.replace("elsewhere", relay.prefix)
        relay.objects.put(moved, relay.objects.get(info.key))

    with pytest.raises(ArchiveDamagedError, match="belongs to archive elsewhere"):
        relay.read()


def test_a_damaged_part_is_refused_before_there_is_a_manifest(relay: Relay) -> None:
    relay.archives.write(relay.prefix, [noise(500_000)])
    third = f"{relay.prefix}/parts/000002"
    relay.objects.put(third, bytes(len(relay.objects.get(third))))

    with pytest.raises(ArchiveDamagedError, match="part 2"):
        relay.read()


def test_a_part_that_is_missing_is_not_waited_for_once_there_is_a_manifest(
    relay: Relay, thread: ThreadPoolExecutor
) -> None:
    archive = relay.archives.write(relay.prefix, [noise(500_000)])
    relay.objects.delete(f"{relay.prefix}/parts/000002")
    found = following(relay, thread)
    relay.publish(archive)

    with pytest.raises(ArchiveDamagedError, match="parts/000002 is missing"):
        found.result(PATIENCE_SECONDS)


def test_a_closed_reader_stops_looking(relay: Relay) -> None:
    threads = set(threading.enumerate())
    stream = relay.archives.follow(relay.id, relay.prefix, alive=relay.alive)
    relay.archives.write(relay.prefix, [noise(20 << 20)])
    next(stream)

    stream.close()

    for left in set(threading.enumerate()) - threads:
        left.join(PATIENCE_SECONDS)
    assert set(threading.enumerate()) <= threads
