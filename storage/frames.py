"""Compression: independent frames, each told its kind and length in front.

The layout is pzstd's (github.com/facebook/zstd, contrib/pzstd): a skippable frame that holds the
length of the zstd frame after it. Independent frames are worked on in parallel, and known lengths
keep decompression bounded whatever the ratio. Two things are ours: what is not worth compressing
follows as it is, a skippable frame of another magic number before it, and a length of zero ends
the stream, so that a cut between two frames shows too.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

import zstandard

from storage.compression import Chooser
from storage.errors import ArchiveDamagedError
from storage.header import SEGMENT_BYTES, TAG_BYTES
from storage.objects import Blob
from storage.streams import cut, done, in_order, worker_pool

_HEADER = struct.Struct("<III")
FRAME_BYTES = SEGMENT_BYTES - TAG_BYTES - _HEADER.size  # stored as it is, it fills a segment
_CONTENT_LIMIT = 1 << 20
_COMPRESSED_LIMIT = _CONTENT_LIMIT + _CONTENT_LIMIT // 128  # above zstd's worst case, 1/256
_THREADS = 2
_COMPRESSED = 0x184D2A50
_STORED = 0x184D2A51
_LENGTH_BYTES = 4


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
                yield _header(_STORED, len(piece))
                yield piece
            else:
                yield _header(_COMPRESSED, len(packed))
                yield packed
    yield _header(_COMPRESSED, 0)


def decode(chunks: Iterable[Blob], *, archive: str) -> Iterator[Blob]:
    """Decompress, in pieces of at most 1 MiB; at most four frames are in memory.

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
    """The compressed frames as a whole, and views of the content of the stored ones."""
    stream = _Reader(chunks, archive)
    while (frame := _kind_and_length(stream.take(_HEADER.size), archive)) != (_COMPRESSED, 0):
        kind, length = frame
        if kind == _STORED:
            yield from stream.views(length)
        else:
            yield stream.take(length)
    if not stream.at_end():
        raise ArchiveDamagedError(archive, "there is data after its end")


def _header(kind: int, length: int) -> bytes:
    return _HEADER.pack(kind, _LENGTH_BYTES, length)


def _kind_and_length(header: bytearray, archive: str) -> tuple[int, int]:
    kind, size, length = _HEADER.unpack(header)
    limit = {_COMPRESSED: _COMPRESSED_LIMIT, _STORED: _CONTENT_LIMIT}.get(kind, -1)
    if size != _LENGTH_BYTES or length > limit:
        raise ArchiveDamagedError(archive, "a frame has no valid header")
    return kind, length


def _pack(piece: bytearray, level: int) -> tuple[bytearray, bytes | None]:
    # compressors are not safe across threads, and a new one per frame costs nothing measurable;
    # the checksum is zstd's own: it shows what went wrong before the seal or after it
    return piece, zstandard.ZstdCompressor(level=level, write_checksum=True).compress(piece)


def _unpack(packed: bytearray, archive: str) -> bytes:
    try:
        # the size comes first: decompress() allocates whatever the frame claims
        if not 0 < zstandard.frame_content_size(packed) <= _CONTENT_LIMIT:
            raise ArchiveDamagedError(archive, "a compressed frame claims an impossible size")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ArchiveDamagedError(archive, f"decompression failed: {error}") from error
