"""A checkpoint's tar, cut into what can be compared with another checkpoint's."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from storage.objects import Blob
from storage.pages.blocks import BLOCK_BYTES, SPAN_BYTES, Span
from storage.pages.pagemap import Pagemap, Pagemaps
from storage.pages.reader import Bytes, Reader
from storage.pages.tar_header import LIMIT_BYTES, padded, read_header

CONTENT = LIMIT_BYTES  # the address of an inner member's content; its header's is 0
_PATH_LIMIT_BYTES = 4096
_REST = b"\xff"  # the path, after all others, of what no inner member could be read from


class TarSpans:
    """Yields all of a tar as spans, in its order; of anything else, spans of no stream.

    | member | stream | path, address |
    | --- | --- | --- |
    | CRIU's pages image | name of its pagemap and "/pages" | none, the virtual address |
    | a tar (layer, volumes, /dev/shm) | name | inner member, offset in its header or content |
    | any other of a block or more | name | none, offset |

    A process keeps its pagemap's name (its id) while the numbers of pages images shift, and an
    inner member keeps its own when the ones before it grow. What contradicts itself (a pages image
    of another size than its pagemap says) is compared by offset.

    Before the first pages `expect` gets the streams of all of them, in the order they will have.
    """

    def __init__(
        self, chunks: Iterable[Blob], *, expect: Callable[[Sequence[bytes]], None] | None = None
    ) -> None:
        self._source = Reader(chunks)
        self._pagemaps = Pagemaps()
        self._expect = expect
        self._is_expected = False

    def __iter__(self) -> Iterator[Span]:
        while True:
            header = read_header(self._source)
            yield from _cut(header.raw, b"", b"")
            if header.size is None:
                break
            yield from self._member(header.name, header.size, header.time)
            yield from self._run(b"", b"", 0, padded(header.size) - header.size)
        while piece := self._source.read(SPAN_BYTES):
            yield Span(piece)

    def _member(self, name: bytes, size: int, time: int) -> Iterator[Span]:
        if len(name) > _PATH_LIMIT_BYTES:
            yield from self._run(b"", b"", 0, size)
        elif self._pagemaps.wants(name, size):
            yield from self._pagemap(name, size, time)
        elif pagemap := self._pagemaps.take(name, size):
            self._announce(pagemap)
            yield from self._pages(pagemap)
        elif size < BLOCK_BYTES:
            yield from self._run(b"", b"", 0, size)
        elif name.endswith(b".tar"):
            yield from self._tar(name, size)
        else:
            yield from self._run(name, b"", 0, size)

    def _pagemap(self, name: bytes, size: int, time: int) -> Iterator[Span]:
        image = bytearray()
        for span in self._run(name if size >= BLOCK_BYTES else b"", b"", 0, size):
            image += span.data
            yield span
        self._pagemaps.add(name, image, time)
        self._is_expected = False

    def _announce(self, first: Pagemap) -> None:
        if self._expect and not self._is_expected:
            self._expect([first.stream, *self._pagemaps.streams])
        self._is_expected = True

    def _pages(self, pagemap: Pagemap) -> Iterator[Span]:
        for address, size in pagemap.runs():
            yield from self._run(pagemap.stream, b"", address, size)

    def _tar(self, stream: bytes, size: int) -> Iterator[Span]:
        end = self._source.offset + size
        while left := end - self._source.offset:
            header = read_header(self._source, left)
            left -= len(header.raw)
            if header.size is None or padded(header.size) > left:
                yield from _cut(header.raw, b"", b"")
                yield from self._run(stream, _REST, 0, left)
                break
            known = stream if len(header.name) <= _PATH_LIMIT_BYTES else b""
            yield from _cut(header.raw, known, header.name)
            yield from self._run(known, header.name, CONTENT, padded(header.size))

    def _run(self, stream: bytes, path: bytes, address: int, size: int) -> Iterator[Span]:
        while size and (piece := self._source.read(min(size, SPAN_BYTES))):
            yield Span(piece, stream, path, address)
            address += len(piece)
            size -= len(piece)


def _cut(data: Bytes, stream: bytes, path: bytes) -> Iterator[Span]:
    for start in range(0, len(data), SPAN_BYTES):
        yield Span(data[start : start + SPAN_BYTES], stream, path, start)
