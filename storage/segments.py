"""Parts of sealed segments: AES-256-GCM in the STREAM construction.

Each segment's nonce is the header's random prefix, the segment's number and whether it is the last
one (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015), and the archive's name is bound to all of them. So a change, a cut,
another order, or a segment of another archive shows at the segment where it happens.
"""

import struct
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import ArchiveDamagedError
from storage.header import TAG_BYTES, Header
from storage.objects import Blob
from storage.sealed import FORMAT_VERSION
from storage.streams import Buffers, cut

_Item = TypeVar("_Item")
_VIEWED = 2


class Sealer:
    """Seals one stream into parts; `size` and `segments` are what has come out so far."""

    def __init__(self, header: Header) -> None:
        self.size = 0
        self.segments = 0
        self._header = header
        self._cipher = _Cipher(header)
        self._buffers = Buffers(header.part_bytes)

    def parts(self, chunks: Iterable[Blob]) -> Iterator[bytearray]:
        """The stream, which must not be empty, in parts; each is the caller's until `reuse`."""
        part, filled = bytearray(), 0
        for plain, last in _flagged(cut(chunks, self._header.segment_bytes - TAG_BYTES)):
            part = part if filled else self._buffers.take()
            end = filled + len(plain) + TAG_BYTES
            self._cipher.seal_into(memoryview(part)[filled:end], plain, self.segments, last=last)
            filled, self.segments = end, self.segments + 1
            if last or filled == len(part):
                del part[filled:]
                self.size += filled
                yield part
                filled = 0

    def reuse(self, part: bytearray) -> None:
        """Take a part back, from any thread."""
        self._buffers.give_back(part)


@dataclass(kw_only=True)
class Part:
    """How far one part is opened: `size` counts its bytes as they were stored.

    `ended` when the stream ends with it, `damaged` when its next segment is not authentic.
    """

    number: int
    size: int = 0
    opened: int = 0
    ended: bool = False
    damaged: bool = False


class Opener:
    """Opens one archive's parts; `size` and `segments` are what `stream` has passed on so far."""

    def __init__(self, header: Header) -> None:
        self.size = 0
        self.segments = 0
        self._header = header
        self._cipher = _Cipher(header)
        self._buffers = Buffers(header.segment_bytes - TAG_BYTES)

    def open(self, part: Part, sealed: Iterable[bytes]) -> Iterator[bytearray]:
        """Open one part, which comes in segments; parts in any order, each in one thread at a time.

        When it has to come once more, from its beginning, only what was not opened yet is.
        """
        first = part.number * (self._header.part_bytes // self._header.segment_bytes)
        part.size = 0
        for number, segment in enumerate(sealed):
            if number == part.opened:
                try:
                    plain, part.ended = self._open(segment, first + number, after_end=part.ended)
                except InvalidTag:
                    part.damaged = True
                    return
                part.opened += 1
                yield plain
            part.size += len(segment)

    def stream(
        self, parts: Iterable[tuple[Part, Iterable[bytearray]]]
    ) -> Generator[memoryview, None, None]:
        """The stream, segment by segment, of all parts in order, each with what is opened of it.

        When nobody views a segment any longer its memory is used for another. No part is asked for
        after the one that ends the stream. Raises ArchiveDamagedError.
        """
        viewed = deque[bytearray]()  # most likely still, by those that pass it on
        for part, segments in parts:
            for segment in segments:
                self.segments += 1
                yield memoryview(segment)
                viewed.append(segment)
                if len(viewed) > _VIEWED:
                    self._buffers.give_back(viewed.popleft())
            self.size += part.size
            if part.damaged:
                raise self._damaged(f"part {part.number} was changed or cut, or belongs elsewhere")
            if part.ended:
                return
            if part.size < self._header.part_bytes:
                raise self._damaged(f"part {part.number} was cut")
        raise self._damaged("it ends in the middle")

    def _open(self, sealed: bytes, number: int, *, after_end: bool) -> tuple[bytearray, bool]:
        """Verify and decrypt a segment; also whether it is the last one. Raises InvalidTag."""
        if after_end or len(sealed) < TAG_BYTES:
            raise InvalidTag
        plain, size = self._buffers.take(), len(sealed) - TAG_BYTES
        del plain[size:]
        try:
            self._cipher.open_into(plain, sealed, number, last=False)
        except InvalidTag:
            self._cipher.open_into(plain, sealed, number, last=True)
            return plain, True
        return plain, False

    def _damaged(self, reason: str) -> ArchiveDamagedError:
        return ArchiveDamagedError(self._header.archive, reason)


class _Cipher:
    def __init__(self, header: Header) -> None:
        self._aead = AESGCM(header.data_key)
        self._prefix = header.nonce_prefix
        self._bound = f"podferry/{FORMAT_VERSION}\0segment\0{header.archive}".encode()

    def seal_into(self, sealed: memoryview, plain: Blob, number: int, *, last: bool) -> None:
        self._aead.encrypt_into(self._nonce(number, last), plain, self._bound, sealed)

    def open_into(self, plain: bytearray, sealed: bytes, number: int, *, last: bool) -> None:
        self._aead.decrypt_into(self._nonce(number, last), sealed, self._bound, plain)

    def _nonce(self, number: int, last: bool) -> bytes:
        return self._prefix + struct.pack(">I?", number, last)


def _flagged(items: Iterable[_Item]) -> Iterator[tuple[_Item, bool]]:
    """Every item, and whether it is the last."""
    iterator = iter(items)
    held = next(iterator, None)
    if held is None:
        return
    for item in iterator:
        yield held, False
        held = item
    yield held, True
