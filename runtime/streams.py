"""Answers that come as things happen, and that somebody may want to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T", covariant=True)
U = TypeVar("U")


class Stream(Generic[T]):
    """An iterator over what arrives. ``close`` ends it at once, from any thread.

    After ``close`` it yields nothing more; a thread that waits in it gets StopIteration.
    """

    def __init__(self, items: Iterator[T], hang_up: Callable[[], None] = lambda: None) -> None:
        self._items = items
        self._hang_up = hang_up
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._closed.is_set():
            raise StopIteration
        try:
            return next(self._items)
        except BaseException as error:
            was_closed = self._closed.is_set()
            self.close()
            # What a closed connection makes a reader say is no news.
            if was_closed and isinstance(error, Exception):
                raise StopIteration from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def through(self, convert: Callable[[Iterator[T]], Iterator[U]]) -> Stream[U]:
        """Return a stream of what ``convert`` makes of the items; closing it closes this one."""
        return Stream(convert(self), self.close)

    def close(self) -> None:
        """Hang up; twice is harmless."""
        if not self._closed.is_set():
            self._closed.set()
            self._hang_up()


def hang_up(response: Response) -> None:
    """Close a response that another thread may be reading: the socket first, to wake it up."""
    with suppress(OSError, RuntimeError, ValueError):  # it has ended, or was closed already
        response.raw.shutdown()
    response.close()
