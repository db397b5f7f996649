"""Turns: of several who could do something, one does it, once per interval."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis


def take_turn(redis: Redis, name: str, every: timedelta) -> bool:
    """Whether nobody else has taken this interval's turn; the interval begins when it is taken."""
    return bool(redis.set(f"podferry:turn:{name}", 1, nx=True, px=every))
