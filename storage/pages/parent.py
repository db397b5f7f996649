"""The index of the checkpoint before, read along with the tar of this one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

from storage.objects import Blob
from storage.pages.blocks import BLOCK_BYTES, DIGEST_BYTES, SPAN_BYTES, Span, blocks_of
from storage.pages.errors import PageIndexError
from storage.pages.index import (
    DIRECTORY_LIMIT_BYTES,
    ENTRY,
    HEAD,
    MAGIC,
    RECORD,
    SAME_PATH,
    TRAILER_BYTES,
    key_check,
)
from storage.pages.order import heaviest_rising
from storage.pages.reader import Bytes, EndedEarlyError, Reader

_PIECE_BYTES = 1 << 20


class Overlap(NamedTuple):
    """Blocks that parent and child both have: the child's from `block` of its span on.

    `offset` is where the first lies in the parent's tar, `digests` what they were there.
    """

    block: int
    offset: int
    digests: Bytes


@dataclass(frozen=True, kw_only=True)
class _Stream:
    name: bytes
    records_bytes: int
    content_bytes: int


class _Record(NamedTuple):
    place: list[bytes]
    address: int
    end: int  # of its last block
    offset: int
    digests: Bytes


class ParentIndex:
    """Reads an index once, from front to end; one record and the directory are in memory.

    `name` stands in errors. Every method raises PageIndexError. Damage is sure to be seen only at
    the end, by `verify`: whatever was compared until then counts for nothing without it. Whoever
    can read the stream twice verifies it first, while a full checkpoint is still possible.
    """

    def __init__(self, chunks: Iterable[Blob], *, key: bytes, name: str) -> None:
        self._source = Reader(chunks)
        self._whole = blake3(key=key)
        self._name = name
        self.key = key
        head = HEAD.unpack(self._read(HEAD.size))
        magic, check, self.tar_bytes, self.tar_digest, count, size = head
        if magic != MAGIC:
            raise self._error("it is no index of this version")
        if check != key_check(key):
            raise self._error("it was made with another key")
        self._streams = list(self._directory(count, size))
        self._places = {stream.name: at for at, stream in enumerate(self._streams)}
        self._not_entered: set[int] = set()
        self._at = -1  # of the stream that is read
        self._left = 0  # bytes of its records that are still unread
        self._record: _Record | None = None
        self._path = b""
        self._offset = 0  # in the parent's tar: where the last record ended

    def expect(self, streams: Iterable[bytes]) -> None:
        """Be told in which order some streams will be entered, and choose those worth entering.

        Where the order is not the parent's, to enter one is to pass over others.
        """
        order = [self._places[stream] for stream in streams if stream in self._places]
        weighed = [(at, self._streams[at].content_bytes) for at in order if at > self._at]
        self._not_entered.update(set(order) - heaviest_rising(weighed))

    def enter(self, stream: bytes) -> None:
        """Go on to a stream, if it is still ahead and was not chosen to be passed over.

        What is passed over cannot be come back to.
        """
        place = self._places.get(stream, -1)
        if place <= self._at or place in self._not_entered:
            return
        passed = self._streams[self._at + 1 : place]
        self._skip(self._left + sum(other.records_bytes for other in passed))
        self._at, self._left, self._path = place, self._streams[place].records_bytes, b""
        self._record = self._next()

    def overlaps(self, span: Span) -> Iterator[Overlap]:
        """Yield what the parent has of a span of the stream that was entered, in order."""
        if self._at < 0 or self._streams[self._at].name != span.stream:
            return
        place, start = place_of(span.path), span.address
        end = start + blocks_of(len(span.data)) * BLOCK_BYTES
        while record := self._record:
            if record.place > place or (record.place == place and record.address >= end):
                return
            if record.place == place and record.end > start:
                yield _overlap(record, span.address, start, end)
                start = record.end  # no block twice, should records be in no order
                if record.end > end:
                    return
            self._record = self._next()

    def verify(self) -> None:
        """Read the rest; whoever returns from here has compared with what was written."""
        ahead = self._streams[self._at + 1 :]
        self._skip(self._left + sum(stream.records_bytes for stream in ahead))
        digest = self._whole.digest()
        if self._source.read(TRAILER_BYTES) != digest or not self._source.at_end():
            raise self._error("it does not match its digest")

    def _directory(self, count: int, size: int) -> Iterator[_Stream]:
        if size > DIRECTORY_LIMIT_BYTES or count * ENTRY.size > size:
            raise self._error("its directory has an impossible size")
        end = self._source.offset + size
        for _ in range(count):
            length, records_bytes, content_bytes = ENTRY.unpack(self._read(ENTRY.size))
            name = bytes(self._read(length))
            yield _Stream(name=name, records_bytes=records_bytes, content_bytes=content_bytes)
        if self._source.offset != end:
            raise self._error("its directory contradicts itself")

    def _next(self) -> _Record | None:
        if not self._left:
            return None
        length, address, offset, size = RECORD.unpack(self._part(RECORD.size))
        if not 0 < size <= SPAN_BYTES or address % BLOCK_BYTES:
            raise self._error("it has an impossible record")
        if not self._offset <= offset <= self.tar_bytes - size:
            raise self._error("its records are in no order")
        self._offset = offset + size
        if length != SAME_PATH:
            self._path = bytes(self._part(length))
        digests = self._part(blocks_of(size) * DIGEST_BYTES)
        end = address + blocks_of(size) * BLOCK_BYTES
        return _Record(place_of(self._path), address, end, offset, digests)

    def _part(self, size: int) -> Bytes:
        """Read of the current stream's records."""
        if size > self._left:
            raise self._error("a record is cut")
        self._left -= size
        return self._read(size)

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, _PIECE_BYTES)))

    def _read(self, size: int) -> Bytes:
        try:
            piece = self._source.exactly(size)
        except EndedEarlyError as error:
            raise self._error("it ends early") from error
        self._whole.update(piece)
        return piece

    def _error(self, reason: str) -> PageIndexError:
        return PageIndexError(self._name, reason)


def place_of(path: bytes) -> list[bytes]:
    """What orders paths as a walk through directories does: "a", "a/b", "a.b"."""
    return path.rstrip(b"/").split(b"/")


def _overlap(record: _Record, address: int, start: int, end: int) -> Overlap:
    """What a record has of the blocks from `start` to `end` of a span at `address`."""
    first = max(record.address, start)
    theirs = (first - record.address) // BLOCK_BYTES
    count = (min(record.end, end) - first) // BLOCK_BYTES
    digests = record.digests[theirs * DIGEST_BYTES : (theirs + count) * DIGEST_BYTES]
    return Overlap((first - address) // BLOCK_BYTES, record.offset + theirs * BLOCK_BYTES, digests)
