"""Streams to parts: compressed, sealed, and uploaded several at once in bounded memory."""

import contextlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from storage.compression import Chooser, Compression
from storage.errors import ObjectExistsError, ObjectTooLargeError, StorageError
from storage.frames import encode
from storage.header import dump_header, header_key, new_header, part_key
from storage.keys import Keyring
from storage.manifest import Archive
from storage.objects import Blob, ObjectStore
from storage.sealed import seal_record
from storage.segments import Sealer
from storage.streams import ordered_map, worker_pool
from storage.throttle import Throttle

Progress = Callable[[int], None]

_Chunk = TypeVar("_Chunk", bytes, Blob)
_logger = logging.getLogger(__name__)


class Writer:
    """Writes archives; at most (`parallel` + 2) times `part_bytes` are in memory."""

    def __init__(
        self,
        objects: ObjectStore,
        keys: Keyring,
        *,
        part_bytes: int,
        parallel: int,
        compression: Compression,
    ) -> None:
        self._objects = objects
        self._keys = keys
        self._part_bytes = part_bytes
        self._parallel = parallel
        self._compression = compression
        self._throttle = Throttle(parallel)

    def write(self, prefix: str, chunks: Iterable[Blob], progress: Progress | None) -> Archive:
        """See ArchiveStore.write."""
        header = new_header(prefix, self._part_bytes)
        body, header_sha256 = dump_header(header)
        sealed = seal_record("archive", prefix, body, self._keys)
        put_once(self._objects, header_key(prefix), sealed)
        meter, sealer, chooser = Meter(progress), Sealer(header), Chooser(self._compression)
        self._upload(prefix, encode(meter.watch(chunks), chooser), sealer, chooser)
        return Archive(
            prefix=prefix,
            header_sha256=header_sha256,
            size=sealer.size,
            segments=sealer.segments,
            raw_size=meter.size,
        )

    def _upload(
        self, prefix: str, chunks: Iterable[Blob], sealer: Sealer, chooser: Chooser
    ) -> None:
        """Store the sealed parts; when that or their source fails, delete what was stored."""
        started: list[str] = []
        finished: list[str] = []

        def numbered() -> Generator[tuple[str, bytearray], None, None]:
            for number, part in enumerate(sealer.parts(chunks)):
                if number:  # the first finds no upload under way, which tells nothing
                    chooser.uploading(len(started) - len(finished), self._parallel)
                started.append(part_key(prefix, number))
                yield started[-1], part

        def put(work: tuple[str, bytearray]) -> None:
            key, part = work
            self._throttle(lambda: self._objects.put(key, part))
            sealer.reuse(part)
            finished.append(key)

        try:
            # waits: an upload that outlives the deletion of its part would leave an orphan
            with contextlib.closing(numbered()) as work, worker_pool(self._parallel, "put") as pool:
                for _ in ordered_map(pool, put, work, ahead=self._parallel):
                    pass
        except BaseException:
            self._discard([header_key(prefix), *started])
            raise

    def _discard(self, keys: Iterable[str]) -> None:
        """Delete what a failed upload has written, as far as the store still lets us."""
        try:
            for key in keys:
                self._objects.delete(key)
        except StorageError as error:
            _logger.warning("parts of a failed upload stay behind: %s", error)


class Meter:
    """Counts the raw bytes that pass."""

    def __init__(self, progress: Progress | None) -> None:
        self.size = 0
        self._progress = progress

    def watch(self, chunks: Iterable[_Chunk]) -> Iterator[_Chunk]:
        """The chunks, unchanged."""
        for chunk in chunks:
            self.size += len(chunk)
            if self._progress:
                self._progress(self.size)
            yield chunk


def put_once(objects: ObjectStore, key: str, data: bytes) -> None:
    """Write an object that nobody has written. Raises ObjectExistsError."""
    try:
        objects.put(key, data, if_absent=True)
    except ObjectExistsError:
        # a request that was sent again, after its answer was lost, finds its own work
        if not _holds(objects, key, data):
            raise


def _holds(objects: ObjectStore, key: str, data: bytes) -> bool:
    try:
        return objects.get(key, max_bytes=len(data)) == data
    except ObjectTooLargeError:
        return False
