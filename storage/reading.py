"""Parts to streams: verified before a byte goes on, also while they are still being written."""

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Protocol, TypeVar

from storage.errors import ArchiveDamagedError, ObjectNotFoundError, ObjectTooLargeError
from storage.frames import decode
from storage.header import Header, header_key, load_header, part_key
from storage.keys import Keyring
from storage.manifest import Archive
from storage.objects import Blob, Result, Take
from storage.sealed import RECORD_LIMIT, open_record
from storage.segments import Opener, Part
from storage.streams import handed_over, looking_ahead, worker_pool
from storage.throttle import Throttle
from storage.transfer import Meter, Progress

_Data = TypeVar("_Data")

Alive = Callable[[], None]
Published = Callable[[], Archive | None]

_FIRST_WAIT_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 0.3
_ASK_SECONDS = 1.0  # for the manifest, while a part is awaited: only what is damaged is told by it


class Source(Protocol):
    """Where objects come from: an ObjectStore, or what stands before one."""

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """See ObjectStore."""

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        """See ObjectStore."""


class Reader:
    """Reads archives, `parallel` + 1 parts at once; the first of them is passed on as it comes.

    So no more of their parts than these are in memory: one less than when an archive is written.
    """

    def __init__(self, objects: Source, keys: Keyring, *, parallel: int) -> None:
        self._objects = objects
        self._keys = keys
        self._parallel = parallel
        self._throttle = Throttle(parallel + 1)

    def read(
        self, archive: Archive, progress: Progress | None, *, parallel: int | None = None
    ) -> Generator[Blob, None, None]:
        """See ArchiveStore.read; `parallel` takes the place of the reader's own."""
        return self.follow(
            archive.prefix, lambda: archive, lambda: None, progress, parallel=parallel
        )

    def follow(
        self,
        prefix: str,
        published: Published,
        alive: Alive,
        progress: Progress | None,
        *,
        parallel: int | None = None,
    ) -> Generator[Blob, None, None]:
        """See ArchiveStore.follow; `published` is what a manifest names, once there is one."""
        parallel = parallel or self._parallel
        source = _Source(self._objects, self._throttle, prefix, published, alive)
        header, sha256 = self._open_header(prefix, source.header())
        archive = published()
        if archive and (archive.prefix, archive.header_sha256) != (prefix, sha256):
            raise ArchiveDamagedError(prefix, "its header is not the one that its manifest names")
        opener, meter = Opener(header), Meter(progress)
        last: Blob = b""
        # does not wait: a slow server must not delay a caller that has stopped reading
        with worker_pool(parallel + 1, "get", wait=False) as pool:
            numbers = _expected_parts(archive, header)
            parts = source.parts(pool, numbers, header, opener, ahead=parallel)
            for piece in meter.watch(decode(opener.stream(parts), archive=prefix)):
                if last:
                    yield last
                last = piece
        found = Archive(
            prefix=prefix,
            header_sha256=sha256,
            size=opener.size,
            segments=opener.segments,
            raw_size=meter.size,
        )
        told = source.archive()  # a later version may tell more of it than is known here
        if any(getattr(told, name) != getattr(found, name) for name in Archive.model_fields):
            raise ArchiveDamagedError(prefix, "it does not agree with its manifest")
        if last:
            yield last

    def _open_header(self, prefix: str, data: bytes) -> tuple[Header, str]:
        try:
            body = open_record("archive", prefix, data, self._keys)
        except ValueError as error:
            raise ArchiveDamagedError(prefix, f"its header: {error}") from error
        return load_header(prefix, body)


class _Source:
    """The stored objects of one archive, each waited for as long as its writer is alive."""

    def __init__(
        self,
        objects: Source,
        throttle: Throttle,
        prefix: str,
        published: Published,
        alive: Alive,
    ) -> None:
        self._objects = objects
        self._throttle = throttle
        self._prefix = prefix
        self._published = published
        self._alive = alive

    def header(self) -> bytes:
        """The sealed header."""
        key = header_key(self._prefix)
        request = partial(self._objects.get, key, max_bytes=RECORD_LIMIT)
        return self._await(key, lambda: self._bounded(key, request))

    def parts(
        self,
        pool: Executor,
        numbers: Iterable[int],
        header: Header,
        opener: Opener,
        *,
        ahead: int,
    ) -> Iterator[tuple[Part, Iterable[bytearray]]]:
        """The parts, opened as they come; those that are there are fetched ahead, in parallel."""

        def fetch(part: Part, pass_on: Callable[[bytearray], None]) -> None:
            def take(sealed: Iterator[bytes]) -> None:
                # as it comes: what was just received is still in the processor's cache
                for segment in opener.open(part, sealed):
                    pass_on(segment)

            key = part_key(self._prefix, part.number)
            request = partial(
                self._objects.stream,
                key,
                take,
                block_bytes=header.segment_bytes,
                max_bytes=header.part_bytes,
            )
            self._throttle(lambda: self._bounded(key, request))

        def start(number: int) -> tuple[Part, Iterable[bytearray]]:
            part = Part(number=number)
            return part, segments(part, handed_over(pool, partial(fetch, part)))

        def segments(part: Part, fetched: Iterable[bytearray]) -> Iterator[bytearray]:
            try:
                yield from fetched
            except ObjectNotFoundError:
                late: list[bytearray] = []
                self._await(part_key(self._prefix, part.number), lambda: fetch(part, late.append))
                yield from late

        return looking_ahead(map(start, numbers), ahead)

    def archive(self) -> Archive:
        """What the manifest names."""
        waits = _waits(self._alive)
        while (archive := self._published()) is None:
            next(waits)
        return archive

    def _await(self, key: str, read: Callable[[], _Data]) -> _Data:
        waits, complete, ask_at = _waits(self._alive), False, 0.0
        while True:
            # asked before the look that decides: a manifest is published after all the rest
            if time.monotonic() >= ask_at:
                complete = self._published() is not None
                ask_at = time.monotonic() + _ASK_SECONDS
            try:
                return read()
            except ObjectNotFoundError:
                if complete:
                    raise self._damaged(key, "is missing") from None
            next(waits)

    def _bounded(self, key: str, read: Callable[[], _Data]) -> _Data:
        try:
            return read()
        except ObjectTooLargeError as error:
            raise self._damaged(key, f"has more than {error.max_bytes} bytes") from error

    def _damaged(self, key: str, reason: str) -> ArchiveDamagedError:
        what = key.removeprefix(f"{self._prefix}/")
        return ArchiveDamagedError(self._prefix, f"{what} {reason}")


def _waits(alive: Alive) -> Iterator[None]:
    """Waits, each longer than the one before, as long as the writer is alive."""
    seconds = _FIRST_WAIT_SECONDS
    while True:
        alive()
        time.sleep(seconds)
        yield
        seconds = min(2 * seconds, _LONGEST_WAIT_SECONDS)


def _expected_parts(archive: Archive | None, header: Header) -> Iterable[int]:
    """The numbers of the parts: as many as a finished archive has, else without an end."""
    return itertools.count() if archive is None else range(-(-archive.size // header.part_bytes))
