"""A checkpoint's tar on its way to the store: its index made, and its parent's data left out."""

from collections.abc import Iterable, Iterator

from storage.objects import Blob
from storage.pages.blocks import (
    BLOCK_BYTES,
    DIGEST_BYTES,
    ZERO_DIGEST,
    Span,
    block_digests,
    blocks_of,
)
from storage.pages.index import PageIndex
from storage.pages.operations import DeltaSizes, Operations
from storage.pages.parent import Overlap, ParentIndex
from storage.pages.reader import Bytes
from storage.pages.spans import TarSpans


def record_pages(tar: Iterable[Blob], index: PageIndex) -> Iterator[Bytes]:
    """Pass a full checkpoint's tar on, unchanged, and fill its index in passing."""
    for span in TarSpans(tar):
        index.add(span, _digests(span, index.key))
        yield span.data
    index.complete()


def encode_delta(
    tar: Iterable[Blob],
    parent: ParentIndex,
    index: PageIndex,
    *,
    sizes: DeltaSizes | None = None,
) -> Iterator[Bytes]:
    """Turn a tar into what `rebuild` makes it from again, with the tar that `parent` is of.

    Fills the tar's own index in passing, and `sizes`. Any stream will do: what cannot be compared
    is passed on as it is. Raises PageIndexError, at the latest before the end: without its end a
    delta is damaged. Raises ValueError for indexes with different keys.
    """
    if parent.key != index.key:
        raise ValueError("the page indexes of parent and child have different keys")
    sizes = sizes or DeltaSizes()
    operations = Operations(sizes)
    for span in TarSpans(tar, expect=parent.expect):
        digests = _digests(span, index.key)
        if span.stream:
            parent.enter(span.stream)
            _compare(span, digests, parent, operations)
        else:
            operations.data(span.data)
        index.add(span, digests)
        yield from operations.ready()
    parent.verify()
    operations.end(index.tar_digest)
    yield from operations.ready()
    index.complete()


def _digests(span: Span, key: bytes) -> bytes:
    return block_digests(span.data, key) if span.stream else b""


def _compare(span: Span, digests: bytes, parent: ParentIndex, operations: Operations) -> None:
    done = 0
    for overlap in parent.overlaps(span):
        _put(span, digests, done, overlap.block, operations)
        done = _copy(span, digests, overlap, operations)
    _put(span, digests, done, blocks_of(len(span.data)), operations)


def _copy(span: Span, digests: bytes, overlap: Overlap, operations: Operations) -> int:
    """Copy what is the same in both, put what is not; return the block after the overlap."""
    block, end = overlap.block, overlap.block + len(overlap.digests) // DIGEST_BYTES
    base = overlap.offset - block * BLOCK_BYTES
    for start, stop in _same(digests, overlap):
        _put(span, digests, block, start, operations)
        length = min(stop * BLOCK_BYTES, len(span.data)) - start * BLOCK_BYTES
        operations.copy(base + start * BLOCK_BYTES, length)
        block = stop
    _put(span, digests, block, end, operations)
    return end


def _same(digests: bytes, overlap: Overlap) -> Iterator[tuple[int, int]]:
    """Yield first and last-but-one of the child's blocks that did not change."""
    count = len(overlap.digests) // DIGEST_BYTES
    mine = digests[overlap.block * DIGEST_BYTES :][: len(overlap.digests)]
    theirs, start = overlap.digests, 0
    if mine == theirs:
        yield overlap.block, overlap.block + count
        return
    for number in range(count + 1):
        at = number * DIGEST_BYTES
        if number == count or mine[at : at + DIGEST_BYTES] != theirs[at : at + DIGEST_BYTES]:
            if start < number:
                yield overlap.block + start, overlap.block + number
            start = number + 1


def _put(span: Span, digests: bytes, start: int, stop: int, operations: Operations) -> None:
    """Put blocks that the parent does not have."""
    view = memoryview(span.data)
    for block in range(start, stop):
        data = view[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        if digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES] == ZERO_DIGEST:
            operations.zeros(len(data))
        else:
            operations.data(data)
