"""Compression: independent zstd frames, each told its length in front.

The layout is pzstd's (github.com/facebook/zstd, contrib/pzstd): a skippable frame that holds the
length of the frame after it. `zstd -d` reads it as it is. Independent frames are worked on in
parallel, and known lengths keep decompression bounded whatever the ratio. Ours ends with a length
of zero, so that a cut between two frames shows too. What is not worth compressing goes into raw
blocks, so that the frame alone says how it was treated (RFC 8878, section 3.1.1).
"""

import struct
from collections.abc import Iterable, Iterator

import zstandard

from storage.compression import Chooser
from storage.errors import ArchiveDamagedError
from storage.objects import Blob
from storage.streams import cut, ordered_map, worker_pool

FRAME_BYTES = 1 << 20
_COMPRESSED_LIMIT = FRAME_BYTES + FRAME_BYTES // 128  # above zstd's worst case, 1/256
_THREADS = 2
_LENGTH = struct.Struct("<III")
_SKIPPABLE = 0x184D2A50
_LENGTH_BYTES = 4
_RAW_FRAME = struct.Struct("<IBI")
_MAGIC = 0xFD2FB528
_SINGLE_SEGMENT_4_BYTE_SIZE = 0b10_1_00000
_BLOCK_BYTES = 128 << 10  # the longest block that the format allows


def encode(chunks: Iterable[Blob], chooser: Chooser) -> Iterator[Blob]:
    """Compress, as `chooser` says; at most four frames are in memory. Never empty."""
    pieces = ((piece, chooser.level()) for piece in cut(chunks, FRAME_BYTES))
    with worker_pool(_THREADS, "zstd") as pool:
        for piece, packed in ordered_map(pool, _pack, pieces, ahead=_THREADS):
            if packed is None:
                yield from _raw_frame(piece)
            else:
                chooser.gained(len(piece), len(packed))
                yield _length(len(packed))
                yield packed
    yield _length(0)


def decode(chunks: Iterable[Blob], *, archive: str) -> Iterator[bytes]:
    """Decompress, in pieces of at most FRAME_BYTES; at most four frames are in memory.

    A chunk is done with when the next is asked for. Raises ArchiveDamagedError, naming `archive`.
    """
    with worker_pool(_THREADS, "unzstd") as pool:
        yield from ordered_map(
            pool, lambda frame: _unpack(frame, archive), _frames(chunks, archive), ahead=_THREADS
        )


def _frames(chunks: Iterable[Blob], archive: str) -> Iterator[bytearray]:
    stream = _Reader(chunks, archive)
    while length := _frame_length(stream.take(_LENGTH.size), archive):
        yield stream.take(length)
    if not stream.at_end():
        raise ArchiveDamagedError(archive, "there is data after its end")


class _Reader:
    """Takes exact numbers of bytes out of a stream of chunks."""

    def __init__(self, chunks: Iterable[Blob], archive: str) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self._archive = archive

    def take(self, count: int) -> bytearray:
        taken, done = bytearray(count), 0
        while done < count:
            if self.at_end():
                raise ArchiveDamagedError(self._archive, "it ends in the middle")
            fitting = self._rest[: count - done]
            taken[done : done + len(fitting)] = fitting
            done += len(fitting)
            self._rest = self._rest[len(fitting) :]
        return taken

    def at_end(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._rest = memoryview(chunk)
        return False


def _length(length: int) -> bytes:
    return _LENGTH.pack(_SKIPPABLE, _LENGTH_BYTES, length)


def _frame_length(header: bytearray, archive: str) -> int:
    magic, size, length = _LENGTH.unpack(header)
    if (magic, size) != (_SKIPPABLE, _LENGTH_BYTES) or length > _COMPRESSED_LIMIT:
        raise ArchiveDamagedError(archive, "a compressed frame has no valid header")
    return int(length)


def _pack(work: tuple[bytearray, int | None]) -> tuple[bytearray, bytes | None]:
    piece, level = work
    if level is None:
        return piece, None
    # compressors are not safe across threads, and a new one per frame costs nothing measurable;
    # the checksum is zstd's own: it shows what went wrong before the seal or after it
    return piece, zstandard.ZstdCompressor(level=level, write_checksum=True).compress(piece)


def _raw_frame(piece: bytearray) -> Iterator[Blob]:
    """A frame that holds `piece` as it is, without a copy of it."""
    starts = range(0, len(piece), _BLOCK_BYTES)
    yield _length(_RAW_FRAME.size + 3 * len(starts) + len(piece))
    yield _RAW_FRAME.pack(_MAGIC, _SINGLE_SEGMENT_4_BYTE_SIZE, len(piece))
    for start in starts:
        block = memoryview(piece)[start : start + _BLOCK_BYTES]
        last = start == starts[-1]
        yield (len(block) << 3 | last).to_bytes(3, "little")  # block type 0, raw
        yield block


def _unpack(frame: bytearray, archive: str) -> bytes:
    try:
        # the size comes first: decompress() allocates whatever the frame claims
        if not 0 < zstandard.frame_content_size(frame) <= FRAME_BYTES:
            raise ArchiveDamagedError(archive, "a compressed frame claims an impossible size")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ArchiveDamagedError(archive, f"decompression failed: {error}") from error
