"""What a checkpoint's blocks were, for the next one to be compared with.

    magic, key check, size and digest of the tar, number and total length of the directory's entries
    directory: for each stream, in the tar's order, the lengths of its name, records and content
    records:   for each span of a stream, its place, the tar's offset, its digests
    digest of all that, keyed

16 bytes a block, and little else. It is complete when the tar is, so it waits in a temporary file.
"""

import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from blake3 import blake3

from storage.pages.blocks import KEY_BYTES, Span
from storage.streams import large_file

MAGIC = b"PFINDEX1"
HEAD = struct.Struct("<8s32sQ32sII")
ENTRY = struct.Struct("<HQQ")
RECORD = struct.Struct("<HQQI")
SAME_PATH = 0xFFFF  # in place of a path's length: that of the record before
DIRECTORY_LIMIT_BYTES = 16 << 20  # a hundred thousand members; more are left out
TRAILER_BYTES = 32
_PIECE_BYTES = 1 << 20


def key_check(key: bytes) -> bytes:
    """What tells whether an index was made with this key. Raises ValueError for no key."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a page index wants a key of {KEY_BYTES} bytes, not {len(key)}")
    return blake3(b"podferry page index", key=key).digest()


@dataclass(kw_only=True)
class _Stream:
    name: bytes
    records_bytes: int = 0
    content_bytes: int = 0


class PageIndex(AbstractContextManager["PageIndex"]):
    """The index that a checkpoint makes of itself: a file in TMPDIR until the context is left.

    `key` has KEY_BYTES and is the workload's own: indexes are compared under one key only.
    """

    def __init__(self, key: bytes) -> None:
        self._key_check = key_check(key)
        self._records = large_file()  # __exit__ closes it
        self._streams: list[_Stream] = []
        self._directory_bytes = 0
        self._path = b""
        self._whole = blake3()
        self._complete = False
        self.key = key
        self.tar_bytes = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._records.close()

    @property
    def tar_digest(self) -> bytes:
        """BLAKE3 of the tar so far."""
        return self._whole.digest()

    def add(self, span: Span, digests: bytes) -> None:
        """Take the tar's next span; without digests nothing is compared with it later."""
        if digests and self._has_place(span.stream):
            path = b"" if span.path == self._path else span.path
            length = SAME_PATH if span.path == self._path else len(path)
            record = RECORD.pack(length, span.address, self.tar_bytes, len(span.data)) + path
            self._records.write(record)
            self._records.write(digests)
            self._streams[-1].records_bytes += len(record) + len(digests)
            self._streams[-1].content_bytes += len(span.data)
            self._path = span.path
        self._whole.update(span.data)
        self.tar_bytes += len(span.data)

    def complete(self) -> None:
        """Say that the tar is at its end."""
        self._complete = True

    def chunks(self) -> Iterator[bytes]:
        """The index, to be stored. Raises ValueError while the tar is not at its end."""
        if not self._complete:
            raise ValueError("the page index of a tar that was not read to its end")
        whole = blake3(key=self.key)
        for piece in self._pieces():
            whole.update(piece)
            yield piece
        yield whole.digest()

    def _pieces(self) -> Iterator[bytes]:
        directory = b"".join(
            ENTRY.pack(len(stream.name), stream.records_bytes, stream.content_bytes) + stream.name
            for stream in self._streams
        )
        counts = len(self._streams), len(directory)
        yield HEAD.pack(MAGIC, self._key_check, self.tar_bytes, self.tar_digest, *counts)
        yield directory
        self._records.seek(0)
        yield from iter(lambda: self._records.read(_PIECE_BYTES), b"")

    def _has_place(self, stream: bytes) -> bool:
        """Whether there is an entry for this stream, or room to make one."""
        if self._streams and self._streams[-1].name == stream:
            return True
        size = ENTRY.size + len(stream)
        if self._directory_bytes + size > DIRECTORY_LIMIT_BYTES:
            return False
        self._directory_bytes += size
        self._streams.append(_Stream(name=stream))
        self._path = b""
        return True
