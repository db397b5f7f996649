"""Compression: independent zstd frames, each told its length in front.

The layout is pzstd's (github.com/facebook/zstd, contrib/pzstd): a skippable frame that holds the
length of the frame after it. `zstd -d` reads it as it is. Independent frames are worked on in
parallel, and known lengths keep decompression bounded whatever the ratio. Ours ends with a length
of zero, so that a cut between two frames shows too. What is not worth compressing goes into raw
blocks, so that the frame alone says how it was treated (RFC 8878, section 3.1.1).
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

import zstandard

from storage.compression import Chooser
from storage.errors import ArchiveDamagedError
from storage.objects import Blob
from storage.streams import cut, done, in_order, worker_pool

FRAME_BYTES = 1 << 20
_COMPRESSED_LIMIT = FRAME_BYTES + FRAME_BYTES // 128  # above zstd's worst case, 1/256
_THREADS = 2
_LENGTH = struct.Struct("<III")
_SKIPPABLE = 0x184D2A50
_LENGTH_BYTES = 4
_RAW_FRAME = struct.Struct("<IBI")
_MAGIC = 0xFD2FB528
_SINGLE_SEGMENT_4_BYTE_SIZE = 0b10_1_00000
_BLOCK_HEADER_BYTES = 3
_BLOCK_BYTES = 128 << 10  # the longest block that the format allows


def encode(chunks: Iterable[Blob], chooser: Chooser) -> Iterator[Blob]:
    """Compress, as `chooser` says; at most four frames are in memory. Never empty."""
    pieces = ((piece, chooser.level()) for piece in cut(chunks, FRAME_BYTES))
    with worker_pool(_THREADS, "zstd") as pool:
        frames: Iterator[Future[tuple[bytearray, bytes | None]]] = (
            done((piece, None)) if level is None else pool.submit(_pack, piece, level)
            for piece, level in pieces
        )
        for piece, packed in in_order(frames, ahead=_THREADS):
            if packed is not None:
                chooser.gained(len(piece), len(packed))
            if packed is None or len(packed) >= len(piece):
                yield from _raw_frame(piece)
            else:
                yield _length(len(packed))
                yield packed
    yield _length(0)


def decode(chunks: Iterable[Blob], *, archive: str) -> Iterator[Blob]:
    """Decompress, in pieces of at most FRAME_BYTES; at most four frames are in memory.

    No chunk may change: what was not compressed is passed on as views of them, without a copy.
    Raises ArchiveDamagedError, naming `archive`.
    """
    with worker_pool(_THREADS, "unzstd") as pool:
        ahead: deque[Future[bytes]] = deque()
        for piece in _pieces(chunks, archive):
            if isinstance(piece, memoryview):
                yield from _results(ahead, but=0)
                yield piece
            else:
                ahead.append(pool.submit(_unpack, piece, archive))
                yield from _results(ahead, but=_THREADS)
        yield from _results(ahead, but=0)


def _results(ahead: deque[Future[bytes]], *, but: int) -> Iterator[bytes]:
    """Those in front, of all `but` the last ones."""
    while len(ahead) > but:
        yield ahead.popleft().result()


class _Reader:
    """Takes exact numbers of bytes out of a stream of chunks."""

    def __init__(self, chunks: Iterable[Blob], archive: str) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self._archive = archive

    def take(self, count: int) -> bytearray:
        return bytearray().join(self.views(count))

    def views(self, count: int) -> Iterator[memoryview]:
        while count:
            if self.at_end():
                raise ArchiveDamagedError(self._archive, "it ends in the middle")
            fitting = self._rest[:count]
            self._rest = self._rest[len(fitting) :]
            count -= len(fitting)
            yield fitting

    def at_end(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._rest = memoryview(chunk)
        return False


def _pieces(chunks: Iterable[Blob], archive: str) -> Iterator[bytearray | memoryview]:
    """The compressed frames as a whole, and the content of the raw ones, in views."""
    stream = _Reader(chunks, archive)
    while length := _frame_length(stream.take(_LENGTH.size), archive):
        start = stream.take(min(length, _RAW_FRAME.size))
        size = _raw_size(start, length)
        if size is None:
            start.extend(stream.take(length - len(start)))
            yield start
        else:
            yield from _raw_blocks(stream, size, archive)
    if not stream.at_end():
        raise ArchiveDamagedError(archive, "there is data after its end")


def _raw_size(start: bytearray, length: int) -> int | None:
    """How much a frame of raw blocks holds; None for another, which has a checksum."""
    if len(start) < _RAW_FRAME.size:
        return None
    magic, kind, size = _RAW_FRAME.unpack(start)
    raw = (magic, kind) == (_MAGIC, _SINGLE_SEGMENT_4_BYTE_SIZE) and 0 < size <= FRAME_BYTES
    return size if raw and length == _raw_length(size) else None


def _raw_length(size: int) -> int:
    return _RAW_FRAME.size + _BLOCK_HEADER_BYTES * -(-size // _BLOCK_BYTES) + size


def _raw_blocks(stream: _Reader, size: int, archive: str) -> Iterator[memoryview]:
    """The content of raw blocks, which needs no decompressor."""
    for start in range(0, size, _BLOCK_BYTES):
        length = min(_BLOCK_BYTES, size - start)
        if stream.take(_BLOCK_HEADER_BYTES) != _block_header(length, last=start + length == size):
            raise ArchiveDamagedError(archive, "a raw frame has another kind of block")
        yield from stream.views(length)


def _length(length: int) -> bytes:
    return _LENGTH.pack(_SKIPPABLE, _LENGTH_BYTES, length)


def _frame_length(header: bytearray, archive: str) -> int:
    magic, size, length = _LENGTH.unpack(header)
    if (magic, size) != (_SKIPPABLE, _LENGTH_BYTES) or length > _COMPRESSED_LIMIT:
        raise ArchiveDamagedError(archive, "a compressed frame has no valid header")
    return int(length)


def _pack(piece: bytearray, level: int) -> tuple[bytearray, bytes | None]:
    # compressors are not safe across threads, and a new one per frame costs nothing measurable;
    # the checksum is zstd's own: it shows what went wrong before the seal or after it
    return piece, zstandard.ZstdCompressor(level=level, write_checksum=True).compress(piece)


def _raw_frame(piece: bytearray) -> Iterator[Blob]:
    """A frame that holds `piece` as it is, without a copy of it."""
    yield _length(_raw_length(len(piece)))
    yield _RAW_FRAME.pack(_MAGIC, _SINGLE_SEGMENT_4_BYTE_SIZE, len(piece))
    for start in range(0, len(piece), _BLOCK_BYTES):
        block = memoryview(piece)[start : start + _BLOCK_BYTES]
        yield _block_header(len(block), last=start + len(block) == len(piece))
        yield block


def _block_header(length: int, *, last: bool) -> bytes:
    return (length << 3 | last).to_bytes(_BLOCK_HEADER_BYTES, "little")  # block type 0, raw


def _unpack(packed: bytearray, archive: str) -> bytes:
    try:
        # the size comes first: decompress() allocates whatever the frame claims
        if not 0 < zstandard.frame_content_size(packed) <= FRAME_BYTES:
            raise ArchiveDamagedError(archive, "a compressed frame claims an impossible size")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ArchiveDamagedError(archive, f"decompression failed: {error}") from error
