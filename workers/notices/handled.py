"""Which notices were handled, in Redis: a worker that starts anew does not drain twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.models import now

if TYPE_CHECKING:
    from redis import Redis

    from workers.notices.models import Notice

CLAIM = timedelta(seconds=5)  # longer than it takes to write a drain down
KEEP = timedelta(days=1)  # after the deadline


class Handled:
    """The notices of one host: keys ``podferry:notice:HOST:ID``, which expire."""

    def __init__(self, redis: Redis, host: str) -> None:
        self._redis = redis
        self._host = host

    def claim(self, notice: Notice) -> bool:
        """Whether it is the caller's to handle; if the caller dies, others may soon."""
        return bool(self._redis.set(self._key(notice), "claimed", nx=True, ex=CLAIM))

    def done(self, notice: Notice) -> None:
        """It was handled."""
        left = max(timedelta(), notice.deadline - now())
        self._redis.set(self._key(notice), "handled", ex=left + KEEP)

    def release(self, notice: Notice) -> None:
        """It was not, and is tried again."""
        self._redis.delete(self._key(notice))

    def _key(self, notice: Notice) -> str:
        return f"podferry:notice:{self._host}:{notice.id}"
