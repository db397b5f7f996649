"""Parts to streams: verified before a byte goes on, also while they are still being written."""

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor

from storage.errors import ArchiveDamagedError, ObjectNotFoundError
from storage.frames import decode
from storage.header import Header, header_key, load_header, part_key
from storage.keys import Keyring
from storage.manifest import Archive
from storage.objects import ObjectStore
from storage.sealed import open_record
from storage.segments import Opener
from storage.streams import ordered_map, worker_pool
from storage.transfer import Meter, Progress

Alive = Callable[[], None]
Published = Callable[[], Archive | None]
Missing = Callable[[str], None]

_FIRST_WAIT_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 0.3


class Reader:
    """Reads archives; at most (`parallel` + 2) times their part size is in memory."""

    def __init__(self, objects: ObjectStore, keys: Keyring, *, parallel: int) -> None:
        self._objects = objects
        self._keys = keys
        self._parallel = parallel

    def read(self, archive: Archive, progress: Progress | None) -> Generator[bytes, None, None]:
        """See ArchiveStore.read."""

        def missing(what: str) -> None:
            raise ArchiveDamagedError(archive.prefix, f"{what} is missing")

        return self._stream(archive.prefix, lambda: archive, missing, progress)

    def follow(
        self, prefix: str, published: Published, alive: Alive, progress: Progress | None
    ) -> Generator[bytes, None, None]:
        """See ArchiveStore.follow; `published` is what a manifest names, once there is one."""
        return self._stream(prefix, published, _Patience(alive), progress)

    def _stream(
        self, prefix: str, published: Published, missing: Missing, progress: Progress | None
    ) -> Generator[bytes, None, None]:
        """The stream, its last piece when it agrees with what was published.

        `missing` is called with what is not in the store yet, and again and again until it is.
        """
        header, sha256 = self._header(prefix, missing)
        archive = published()
        if archive and (archive.prefix, archive.header_sha256) != (prefix, sha256):
            raise ArchiveDamagedError(prefix, "its header is not the one that its manifest names")
        opener, meter, last = Opener(header), Meter(progress), b""
        # does not wait: a slow server must not delay a caller that has stopped reading
        with worker_pool(self._parallel, "get", wait=False) as pool:
            numbers = _expected_parts(archive, header)
            parts = self._parts(pool, prefix, numbers, missing)
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
        while (archive := published()) is None:
            missing("its manifest")
        if archive != found:
            raise ArchiveDamagedError(prefix, "it does not agree with its manifest")
        if last:
            yield last

    def _header(self, prefix: str, missing: Missing) -> tuple[Header, str]:
        while (data := self._get(header_key(prefix))) is None:
            missing("its header")
        try:
            body = open_record("archive", prefix, data, self._keys)
        except ValueError as error:
            raise ArchiveDamagedError(prefix, f"its header: {error}") from error
        return load_header(prefix, body)

    def _parts(
        self, pool: Executor, prefix: str, numbers: Iterable[int], missing: Missing
    ) -> Iterator[bytes]:
        """The parts in order; those that are there already are fetched ahead, in parallel."""

        def fetch(number: int) -> tuple[int, bytes | None]:
            return number, self._get(part_key(prefix, number))

        for number, data in ordered_map(pool, fetch, numbers, ahead=self._parallel):
            while data is None:
                missing(f"part {number}")
                _, data = fetch(number)
            yield data

    def _get(self, key: str) -> bytes | None:
        try:
            return self._objects.get(key)
        except ObjectNotFoundError:
            return None


class _Patience:
    """Waits, each time longer for the same thing, as long as its writer is alive."""

    def __init__(self, alive: Alive) -> None:
        self._alive = alive
        self._awaited = ""
        self._seconds = _FIRST_WAIT_SECONDS

    def __call__(self, what: str) -> None:
        if what != self._awaited:
            self._awaited, self._seconds = what, _FIRST_WAIT_SECONDS
        self._alive()
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, _LONGEST_WAIT_SECONDS)


def _expected_parts(archive: Archive | None, header: Header) -> Iterable[int]:
    """The numbers of the parts: as many as a finished archive has, else without an end."""
    return itertools.count() if archive is None else range(-(-archive.size // header.part_bytes))
