"""A checkpoint's tar again, from a full one and the deltas since, in bounded memory."""

from collections.abc import Iterable, Iterator, Sequence

from blake3 import blake3

from storage.errors import ArchiveDamagedError
from storage.objects import Blob
from storage.pages.operations import DIGEST_BYTES, LIMIT_BYTES, MAGIC, OPERATION, Code
from storage.pages.reader import EndedEarlyError, Reader
from storage.streams import cut

PIECE_BYTES = 1 << 20
_ZEROS = bytes(256 << 10)


def rebuild(
    full: Iterable[Blob], deltas: Sequence[Iterable[Blob]], *, archive: str
) -> Iterator[bytes]:
    """Yield the tar that the last of `deltas` was made of, in pieces of at most PIECE_BYTES.

    `deltas` has one or more, oldest first; the first is of a child of `full`. All are read in step,
    so that memory grows with their number, by what each of them buffers. The last piece is held
    back until size and digest of the whole are right. Raises ArchiveDamagedError, naming `archive`.

    Nothing is read of a parent after the last byte that is wanted of it.
    """
    if not deltas:
        raise ValueError("there is no delta to rebuild from")
    tar: Iterable[Blob] = full
    for chunks in deltas:
        applied = _Applied(chunks, tar, archive)
        tar = applied
    whole, size, held = blake3(), 0, b""
    for piece in cut(tar, PIECE_BYTES):
        if held:
            yield held
        held = bytes(piece)
        whole.update(held)
        size += len(held)
    if (size, whole.digest()) != (applied.size, applied.digest):
        raise ArchiveDamagedError(archive, "what its pages make does not match its digest")
    if held:
        yield held


class _Applied:
    """The tar that a delta and its parent's tar make; its `size` and `digest` after the end."""

    def __init__(self, delta: Iterable[Blob], parent: Iterable[Blob], archive: str) -> None:
        self.size = -1
        self.digest: bytes | bytearray = b""
        self._delta = Reader(delta)
        self._parent = Reader(parent)
        self._archive = archive

    def __iter__(self) -> Iterator[Blob]:
        try:
            if self._delta.exactly(len(MAGIC)) != MAGIC:
                raise ArchiveDamagedError(self._archive, "it is no delta of this version")
            yield from self._operations()
        except EndedEarlyError as error:
            raise ArchiveDamagedError(self._archive, "it or its parent ends early") from error
        if not self._delta.at_end():
            raise ArchiveDamagedError(self._archive, "there is data after its end")

    def _operations(self) -> Iterator[Blob]:
        made = 0
        while True:
            code, length, skip = OPERATION.unpack(self._delta.exactly(OPERATION.size))
            made += length
            if skip and code != Code.COPY:
                raise ArchiveDamagedError(self._archive, "an operation contradicts itself")
            if code == Code.END:
                break
            if not length or made > LIMIT_BYTES:
                raise ArchiveDamagedError(self._archive, "an operation has an impossible length")
            yield from self._one(code, length, skip)
        self.size, self.digest = length, self._delta.exactly(DIGEST_BYTES)

    def _one(self, code: int, length: int, skip: int) -> Iterator[Blob]:
        match code:
            case Code.COPY:
                self._parent.skip(skip)
                yield from self._parent.take(length)
            case Code.ZERO:
                yield from _zeros(length)
            case Code.DATA:
                yield from self._delta.take(length)
            case _:
                raise ArchiveDamagedError(self._archive, f"there is no operation {code}")


def _zeros(length: int) -> Iterator[Blob]:
    for start in range(0, length, len(_ZEROS)):
        yield memoryview(_ZEROS)[: length - start]
