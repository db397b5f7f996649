"""Several tools over the same work, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def timed(act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Seconds that a call takes."""
    began = time.monotonic()
    act(*args, **kwargs)
    return time.monotonic() - began


def in_turn(things: Sequence[T], runs: int) -> Iterator[tuple[int, T]]:
    """Every thing once per run (from 1); each run begins with another one, for fairness."""
    for number in range(runs):
        first = number % len(things)
        for thing in (*things[first:], *things[:first]):
            yield number + 1, thing
