"""Streams to parts and back, in bounded memory and verified."""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from storage.codec import CodecName, decode, encode
from storage.errors import ArchiveDamagedError, ObjectNotFoundError, StorageError
from storage.manifest import Archive, Part
from storage.objects import Blob, ObjectStore
from storage.streams import cut, ordered_map, worker_pool

Progress = Callable[[int], None]

_Chunk = TypeVar("_Chunk", bytes, Blob)
_logger = logging.getLogger(__name__)


class Transfer:
    """Writes and reads archives; at most (`parallel` + 2) times `part_bytes` are in memory."""

    def __init__(
        self, objects: ObjectStore, *, part_bytes: int, parallel: int, codec: CodecName
    ) -> None:
        self._objects = objects
        self._part_bytes = part_bytes
        self._parallel = parallel
        self._codec = codec

    def write(self, prefix: str, chunks: Iterable[Blob], progress: Progress | None) -> Archive:
        """See ArchiveStore.write."""
        started: list[str] = []

        def upload(numbered: tuple[int, bytearray]) -> Part:
            index, data = numbered
            key = _part_key(prefix, index)
            started.append(key)
            self._objects.put(key, data)
            return Part(size=len(data), sha256=hashlib.sha256(data).hexdigest())

        meter = _Meter(progress)
        stored = cut(encode(self._codec, meter.watch(chunks)), self._part_bytes)
        try:
            # waits: an upload that outlives the deletion of its part would leave an orphan
            with contextlib.closing(stored), worker_pool(self._parallel, "put") as pool:
                parts = tuple(ordered_map(pool, upload, enumerate(stored), ahead=self._parallel))
        except BaseException:
            self._discard(started)
            raise
        return Archive(
            prefix=prefix,
            codec=self._codec,
            parts=parts,
            size=sum(part.size for part in parts),
            raw_size=meter.size,
            raw_sha256=meter.digest(),
        )

    def read(self, archive: Archive, progress: Progress | None) -> Generator[bytes, None, None]:
        """See ArchiveStore.read."""

        def fetch(index: int) -> bytes:
            return self._verified_part(archive, index)

        meter = _Meter(progress)
        # does not wait: a slow server must not delay a caller that has stopped reading
        with worker_pool(self._parallel, "get", wait=False) as pool:
            stored = ordered_map(pool, fetch, range(len(archive.parts)), ahead=self._parallel)
            last = b""
            for piece in meter.watch(decode(archive.codec, stored, archive=archive.prefix)):
                if last:
                    yield last
                last = piece
            if (meter.size, meter.digest()) != (archive.raw_size, archive.raw_sha256):
                raise ArchiveDamagedError(archive.prefix, "the whole does not match its digest")
            if last:
                yield last

    def _verified_part(self, archive: Archive, index: int) -> bytes:
        expected = archive.parts[index]
        try:
            data = self._objects.get(_part_key(archive.prefix, index))
        except ObjectNotFoundError as error:
            raise ArchiveDamagedError(archive.prefix, f"part {index} is missing") from error
        if len(data) != expected.size:
            reason = f"part {index} has {len(data)} bytes instead of {expected.size}"
            raise ArchiveDamagedError(archive.prefix, reason)
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise ArchiveDamagedError(archive.prefix, f"part {index} does not match its digest")
        return data

    def _discard(self, keys: Iterable[str]) -> None:
        """Delete the parts of a failed upload, as far as the store still lets us."""
        try:
            for key in keys:
                self._objects.delete(key)
        except StorageError as error:
            _logger.warning("parts of a failed upload stay behind: %s", error)


class _Meter:
    """Counts and digests the raw bytes that pass."""

    def __init__(self, progress: Progress | None) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._progress = progress

    def watch(self, chunks: Iterable[_Chunk]) -> Iterator[_Chunk]:
        for chunk in chunks:
            self._sha256.update(chunk)
            self.size += len(chunk)
            if self._progress:
                self._progress(self.size)
            yield chunk

    def digest(self) -> str:
        return self._sha256.hexdigest()


def _part_key(prefix: str, index: int) -> str:
    return f"{prefix}/parts/{index:06d}"
