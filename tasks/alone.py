"""One process at a time on a host works on a container, even if the record gave up on it.

A worker that sleeps past its lease and wakes up in the midst of a call that it asked the record for
cannot be called back. The kernel knows better than any lease whether it is still there: it holds a
lock, which nobody else gets before it has gone on and noticed, or died.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

POLL_SECONDS = 0.1


@contextmanager
def alone_with(
    containers: Iterable[str], directory: Path, while_waiting: Callable[[], None]
) -> Iterator[None]:
    """Hold the locks of these containers, in one order, in a directory of this host's workers.

    ``while_waiting`` is called again and again; what it raises ends the wait.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name in sorted(containers):
            stack.enter_context(_locked(directory / f"{name}.lock", while_waiting))
        yield


@contextmanager
def _locked(path: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while not _taken(file):
            while_waiting()
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(file)  # and with it the lock


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
