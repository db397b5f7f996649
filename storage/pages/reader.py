"""Exact numbers of bytes out of a stream of chunks."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from storage.objects import Blob

Bytes: TypeAlias = bytes | bytearray


class EndedEarlyError(Exception):
    """The stream has less than was asked for."""


class Reader:
    """Reads `chunks` from the front; `offset` is how many bytes were read."""

    def __init__(self, chunks: Iterable[Blob]) -> None:
        self.offset = 0
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def read(self, size: int) -> Bytes:
        """Read `size` bytes into a buffer of their own; fewer at the end of the stream."""
        if size <= len(self._rest):  # the usual case, copied once
            piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
            self.offset += size
            return piece
        gathered = bytearray()
        while len(gathered) < size and self._more():
            gathered += self._next(size - len(gathered))
        return gathered

    def exactly(self, size: int) -> Bytes:
        """Read `size` bytes. Raises EndedEarlyError."""
        piece = self.read(size)
        if len(piece) < size:
            raise EndedEarlyError
        return piece

    def take(self, size: int) -> Iterator[memoryview]:
        """Yield `size` bytes as they come, valid until the next step. Raises EndedEarlyError."""
        while size:
            if not self._more():
                raise EndedEarlyError
            piece = self._next(size)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Leave `size` bytes out. Raises EndedEarlyError."""
        for _ in self.take(size):
            pass

    def at_end(self) -> bool:
        """Whether nothing is left; if so, the source has run to its end."""
        return not self._more()

    def _next(self, limit: int) -> memoryview:
        piece, self._rest = self._rest[:limit], self._rest[limit:]
        self.offset += len(piece)
        return piece

    def _more(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True
