"""Fewer requests at once for a store that asks for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from storage.errors import StoreBusyError

_Result = TypeVar("_Result")
_CALM = 16  # answers in a row after which one more request at once is tried


class Throttle:
    """Lets `parallel` requests run at once, half as many each time the store says it is busy.

    For several threads. The backends have waited, and asked again, before they raise
    StoreBusyError.
    """

    def __init__(self, parallel: int) -> None:
        self._most = parallel
        self._limit = parallel
        self._running = 0
        self._calm = 0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """How many requests may run at once now."""
        return self._limit

    def __call__(self, request: Callable[[], _Result]) -> _Result:
        """Make the request, and again for as long as fewer at once may help.

        Raises what it raises; StoreBusyError when it ran alone.
        """
        while True:
            try:
                with self._turn() as alone:
                    result = request()
            except StoreBusyError:
                if alone:
                    raise
                self._slow_down()
            else:
                self._speed_up()
                return result

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Wait for a place; gives whether it is the only one."""
        with self._changed:
            self._changed.wait_for(lambda: self._running < self._limit)
            self._running += 1
            alone = self._limit == 1
        try:
            yield alone
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _slow_down(self) -> None:
        with self._changed:
            self._limit = max(1, self._limit // 2)
            self._calm = 0

    def _speed_up(self) -> None:
        with self._changed:
            self._calm += 1
            if self._calm >= _CALM and self._limit < self._most:
                self._limit += 1
                self._calm = 0
                self._changed.notify_all()
