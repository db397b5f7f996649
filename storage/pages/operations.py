"""The delta's own format: what to take from the parent's tar, and what to put between.

    magic
    COPY n, skip   n bytes of the parent's tar, after leaving `skip` bytes out
    ZERO n         n bytes of zeros
    DATA n         the n bytes that follow
    END n          n bytes have been made; the 32 bytes that follow are their BLAKE3 digest

The parent's tar is read once, from front to end: no operation can go back.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from storage.objects import Blob
from storage.pages.reader import Bytes

MAGIC = b"PFDELTA1"
OPERATION = struct.Struct("<BQQ")
DIGEST_BYTES = 32
LIMIT_BYTES = 1 << 48  # of a tar; keeps a damaged length from counting as one
_DATA_BYTES = 1 << 20


class Code(IntEnum):
    """What an operation does."""

    END = 0
    COPY = 1
    ZERO = 2
    DATA = 3


@dataclass(kw_only=True)
class DeltaSizes:
    """How many of a tar's bytes came from where."""

    copied: int = 0
    zeros: int = 0
    data: int = 0


class Operations:
    """Spells operations, joining what follows each other; `ready` gives what is finished."""

    def __init__(self, sizes: DeltaSizes) -> None:
        self._sizes = sizes
        self._ready: list[Bytes] = [MAGIC]
        self._code = Code.DATA
        self._length = 0
        self._skip = 0
        self._data = bytearray()
        self._parent = 0  # how far the parent's tar is read

    def copy(self, offset: int, length: int) -> None:
        """Take from the parent's tar, from where the last `copy` ended or later."""
        if self._code is not Code.COPY or offset != self._parent:
            self._finish(Code.COPY)
            self._skip = offset - self._parent
        self._length += length
        self._parent = offset + length
        self._sizes.copied += length

    def zeros(self, length: int) -> None:
        """Put zeros."""
        if self._code is not Code.ZERO:
            self._finish(Code.ZERO)
        self._length += length
        self._sizes.zeros += length

    def data(self, data: Blob) -> None:
        """Put these bytes."""
        if self._code is not Code.DATA or self._length >= _DATA_BYTES:
            self._finish(Code.DATA)
        self._data += data
        self._length += len(data)
        self._sizes.data += len(data)

    def end(self, digest: bytes) -> None:
        """Say that this was all."""
        self._finish(Code.END)
        total = self._sizes.copied + self._sizes.zeros + self._sizes.data
        self._ready += [OPERATION.pack(Code.END, total, 0), digest]

    def ready(self) -> Iterator[Bytes]:
        """Give away what is finished."""
        ready, self._ready = self._ready, []
        return iter(ready)

    def _finish(self, following: Code) -> None:
        if self._length:
            self._ready.append(OPERATION.pack(self._code, self._length, self._skip))
        if self._data:
            self._ready.append(self._data)
            self._data = bytearray()
        self._code, self._length, self._skip = following, 0, 0
