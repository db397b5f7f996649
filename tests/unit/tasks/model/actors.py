"""Workers that take turns: each is a thread that stops before whatever others could notice.

Only one runs at a time, and only when it is told to, so that every order can be tried and repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_here = threading.local()


class Killed(BaseException):
    """What ends a worker that is killed; no unit catches it."""


class Actor:
    """Someone at work. ``at`` names what it is about to do."""

    def __init__(self, name: str, work: Callable[[], None], *, host: str = "") -> None:
        self.name = name
        self.host = host  # empty: a control worker
        self.at = "start"
        self.asleep = False
        self.over = False
        self.asked = False  # the record has just answered: it acts within a lease, or is killed
        self.renew: Callable[[], None] = lambda: None
        self._work = work
        self._killed = False
        self._fault: Exception | None = None
        self._lost: Exception | None = None
        self._broken: BaseException | None = None
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def __repr__(self) -> str:
        return f"<{self.name} at {self.at}{' asleep' * self.asleep}>"

    def go(self, fault: Exception | None = None, *, late: bool = False) -> None:
        """Do what it is about to do, up to the next such point.

        ``fault`` is what that fails with; if ``late``, it happens nevertheless.
        """
        if self.over:
            return
        self._fault, self._lost = (None, fault) if late else (fault, None)
        self._mine.release()
        self._others.acquire()
        if self._broken is not None:
            raise self._broken

    def kill(self) -> None:
        """End it where it is."""
        self._killed = True
        self.go()

    def _run(self) -> None:
        _here.actor = self
        self._mine.acquire()
        try:
            if not self._killed:
                self._work()
        except Killed:
            pass
        except BaseException as error:
            self._broken = error
        finally:
            self.over = True
            self._others.release()

    def _pause(self, at: str) -> None:
        if self._killed:
            raise Killed
        self.at = at
        self._others.release()
        self._mine.acquire()
        if self._killed:
            raise Killed
        if self._fault is not None:
            raise self._fault

    def _answer(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost


def here() -> Actor | None:
    """Who runs this; None when a test does."""
    return getattr(_here, "actor", None)


def pause(at: str) -> None:
    """Let others go first."""
    actor = here()
    if actor is not None:
        actor._pause(at)


def answered() -> None:
    """Lose the answer to what was just done, if that was asked for."""
    actor = here()
    if actor is not None:
        actor._answer()
