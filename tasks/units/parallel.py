"""The same for several containers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_parallel(items: Iterable[Item], act: Callable[[Item], Done]) -> list[Done]:
    """Do it for all of them and wait for every end; then raise the first failure, if any.

    What is logged meanwhile tells its workflow.
    """
    waiting = list(items)
    with ThreadPoolExecutor(max_workers=max(1, len(waiting))) as pool:
        doing = [pool.submit(copy_context().run, act, item) for item in waiting]
    return [done.result() for done in doing]
