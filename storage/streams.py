"""Plumbing for streams of bytes: cutting them to size, and working on pieces in parallel."""

import contextlib
import contextvars
import os
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import IO, TypeVar

from storage.objects import Blob

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def cut(chunks: Iterable[Blob], size: int) -> Generator[bytearray, None, None]:
    """Re-cut a stream into pieces of exactly `size` bytes; the last may be shorter, never empty.

    Every piece is a buffer of its own, so that a source may reuse its chunks.
    """
    piece, filled = bytearray(size), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            fitting = rest[: size - filled]
            piece[filled : filled + len(fitting)] = fitting
            filled += len(fitting)
            rest = rest[len(fitting) :]
            if filled == size:
                yield piece
                piece, filled = bytearray(size), 0
    if filled:
        del piece[filled:]
        yield piece


class Buffers:
    """Memory in pieces of `size` bytes, used again and again; for several threads.

    Fresh memory costs a fifth of all the work: the kernel clears and maps each page at its first
    touch. What was used last comes first: it is still in a processor's cache.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: deque[bytearray] = deque()

    def take(self) -> bytearray:
        """A piece that nobody else has or views."""
        with contextlib.suppress(IndexError, BufferError):
            piece = self._free.pop()
            piece.append(piece.pop())  # refused while somebody views it
            return piece
        return bytearray(self.size)

    def give_back(self, piece: bytearray) -> None:
        """Take a piece back; one of another size is forgotten, and so is one still viewed."""
        if len(piece) == self.size:
            self._free.append(piece)


def large_file() -> IO[bytes]:
    """A file for what is too large for memory, gone when it is closed: in TMPDIR, else /var/tmp."""
    directory = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108 # the file has no name
    return tempfile.TemporaryFile(dir=directory)


@contextlib.contextmanager
def worker_pool(threads: int, name: str, *, wait: bool = True) -> Iterator[Executor]:
    """A pool that at the end starts nothing more and, if `wait`, lets what runs finish."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)


def ordered_map(
    pool: Executor,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    ahead: int,
) -> Iterator[_Result]:
    """Map in parallel and in order, with back-pressure.

    `items` is not asked for another while `ahead` + 1 of them await their results. Raises what
    `function` or `items` raise; the pool, and what still runs in it, stay the caller's.
    """
    started = (pool.submit(contextvars.copy_context().run, function, item) for item in items)
    return in_order(started, ahead=ahead)


def in_order(started: Iterable[Future[_Result]], *, ahead: int) -> Iterator[_Result]:
    """The results of what `started` starts, with the same back-pressure."""
    return map(Future.result, looking_ahead(started, ahead))


def looking_ahead(items: Iterable[_Item], ahead: int) -> Iterator[_Item]:
    """The same items, of which so many more were asked for than are passed on."""
    pending: deque[_Item] = deque()
    for item in items:
        pending.append(item)
        if len(pending) > ahead:
            yield pending.popleft()
    while pending:
        yield pending.popleft()


def handed_over(
    pool: Executor, produce: Callable[[Callable[[_Item], None]], None]
) -> Iterator[_Item]:
    """What `produce` gives to its argument in a thread of `pool`, from now on, as it comes.

    Raises in the end what `produce` raises. Nothing holds it back: all of it must fit in memory.
    """
    items = SimpleQueue[_Item | None]()
    producing = pool.submit(contextvars.copy_context().run, produce, items.put)
    producing.add_done_callback(lambda _: items.put(None))
    return _until_over(items, producing)


def _until_over(items: SimpleQueue[_Item | None], producing: Future[None]) -> Iterator[_Item]:
    while (item := items.get()) is not None:
        yield item
    try:
        producing.result()
    finally:
        del producing  # or its failure, which holds this frame, would be held by it


def done(result: _Result) -> Future[_Result]:
    """What is at hand, among what is not: a thread would take longer to pass it on."""
    future: Future[_Result] = Future()
    future.set_result(result)
    return future
