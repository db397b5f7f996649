"""However much passes, little of it is held at any time."""

import tarfile
import tracemalloc
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.objects import Blob
from storage.pages import PageIndex, ParentIndex, encode_delta, rebuild, record_pages
from tests.unit.storage.pages.checkpoints import HEAP, KEY, PAGE, pagemap, run
from tests.unit.storage.samples import noise

SIZE = 96 << 20
LIMIT = 10 << 20
CHUNK = 512 << 10
RUN_PAGES = 8  # each with a gap behind it
SAME, OTHER = noise(CHUNK, 1), noise(CHUNK, 2)


def large(*, changed_every: int) -> Iterator[bytes]:
    """A tar with a pages image of SIZE."""
    count = SIZE // PAGE // RUN_PAGES
    runs = (run(HEAP + 2 * number * RUN_PAGES * PAGE, RUN_PAGES) for number in range(count))
    image = pagemap(1, *runs)
    yield header("pagemap-1.img", len(image)) + image + bytes(-len(image) % 512)
    yield header("pages-1.img", SIZE)
    for number in range(SIZE // CHUNK):
        yield SAME if number % changed_every else OTHER
    yield bytes(1024)


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf()


def stored(path: Path, chunks: Iterable[Blob]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LIMIT


def test_memory_is_bounded(tmp_path: Path) -> None:
    index, delta, made = tmp_path / "index", tmp_path / "delta", 0

    with little_memory(), PageIndex(KEY) as full:
        deque(record_pages(large(changed_every=3), full), maxlen=0)
        stored(index, full.chunks())

    with little_memory(), PageIndex(KEY) as child:
        parent = ParentIndex(read(index), key=KEY, name="parent")
        stored(delta, encode_delta(large(changed_every=2), parent, child))

    with little_memory(), PageIndex(KEY) as other, PageIndex(KEY) as nothing:
        deque(record_pages([], nothing), maxlen=0)
        parent = ParentIndex(nothing.chunks(), key=KEY, name="parent")
        deque(encode_delta(large(changed_every=2), parent, other), maxlen=0)

    with little_memory():
        for piece in rebuild(large(changed_every=3), [read(delta)], archive="sample"):
            made += len(piece)

    assert made == child.tar_bytes > SIZE
    assert SIZE / 3 < delta.stat().st_size < SIZE * 2 / 3
