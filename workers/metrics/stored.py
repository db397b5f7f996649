"""Looks at the archive store now and then: can it be used, and how much lies in it.

One control worker looks for all of them; what it found stands in Redis.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from pydantic import AwareDatetime, Field

from storage import StorageError
from tasks.models import Model, now
from tasks.turns import take_turn
from workers.repeating import Repeating

if TYPE_CHECKING:
    from redis import Redis

    from storage import ArchiveStore

KEY = "podferry:store"
KINDS = ("checkpoints", "groups", "images", "contexts")
TRY_EVERY = timedelta(minutes=1)
LIST_EVERY = timedelta(minutes=10)


class StoreReport(Model):
    """What was found. ``bytes`` by kind, none until the store was listed once."""

    taken: AwareDatetime = Field(default_factory=now)
    error: str = ""
    bytes: dict[str, int] = Field(default_factory=dict)


def read_report(redis: Redis) -> StoreReport | None:
    """The newest report; None when nobody has looked yet."""
    value = cast("bytes | None", redis.get(KEY))
    return None if value is None else StoreReport.model_validate_json(value)


def store_watch(redis: Redis, archives: ArchiveStore) -> Repeating:
    """Looks every minute until it is stopped: of all control workers, one at a time."""

    def look() -> None:
        if take_turn(redis, "store", TRY_EVERY * 0.9):
            before = read_report(redis) or StoreReport()
            redis.set(KEY, _look(redis, archives, before.bytes).model_dump_json())

    return Repeating("store", look, every_seconds=TRY_EVERY.total_seconds())


def _look(redis: Redis, archives: ArchiveStore, known: dict[str, int]) -> StoreReport:
    try:
        archives.check()
        if not known or take_turn(redis, "store-bytes", LIST_EVERY):
            known = {
                kind: sum(info.size for info in archives.objects.list(f"{kind}/")) for kind in KINDS
            }
    except StorageError as error:
        return StoreReport(error=str(error), bytes=known)
    return StoreReport(bytes=known)
