"""Turns: of several who could do something, one does it, once per interval."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

WAIT_SECONDS = 0.02


def take_turn(redis: Redis, name: str, every: timedelta) -> bool:
    """Whether nobody else has taken this interval's turn; the interval begins when it is taken."""
    return bool(redis.set(_key(name), 1, nx=True, px=every))


def keep_turn(redis: Redis, name: str, every: timedelta) -> None:
    """Have a turn that was taken last longer, be it over by now."""
    redis.set(_key(name), 1, px=every)


@contextmanager
def alone(redis: Redis, name: str, longest: timedelta) -> Iterator[None]:
    """Wait until nobody else does this, and do it; who takes longer than that is not waited for."""
    while not take_turn(redis, name, longest):
        time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        redis.delete(_key(name))


def _key(name: str) -> str:
    return f"podferry:turn:{name}"
