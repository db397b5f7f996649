"""Drains in Redis, changed by compare-and-set only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from redis.exceptions import WatchError

from tasks import tallies
from tasks.broker import watch
from tasks.drains.models import Drain
from tasks.errors import DrainNotFoundError, HostBusyError
from tasks.models import State, now
from tasks.records import BELL, KEEP_RECORDS, PAGE
from tasks.stored import load, load_known

if TYPE_CHECKING:
    from redis import Redis

LIVE = "podferry:drains:live"  # ids by host
RECENT = "podferry:drains"

Change = Callable[[Drain], Drain]


class Drains:
    """The drains of one installation.

    Keys: ``podferry:drain:ID`` (the record; it expires when it has been over for ``keep``),
    ``podferry:drains:live`` (the id of each host's drain that has not ended),
    ``podferry:drains`` (ids by time).
    """

    def __init__(self, redis: Redis, *, keep: timedelta = KEEP_RECORDS) -> None:
        self._redis = redis
        self._keep = keep

    def create(self, drain: Drain) -> None:
        """Write a new record and ring. Raises HostBusyError when the host has a live one."""
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, LIVE)
                holder = cast("bytes | None", pipe.hget(LIVE, drain.host))
                if holder is not None:
                    raise HostBusyError(drain.host, holder.decode())
                pipe.multi()
                pipe.hset(LIVE, drain.host, drain.id)
                pipe.set(_key(drain.id), drain.model_dump_json())
                pipe.zadd(RECENT, {drain.id: drain.created.timestamp()})
                pipe.zremrangebyscore(RECENT, 0, (now() - self._keep).timestamp())
                pipe.rpush(BELL, drain.id)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return

    def get(self, drain_id: str) -> Drain:
        """Read one record. Raises DrainNotFoundError, UnreadableRecordError."""
        return _parse(drain_id, cast("bytes | None", self._redis.get(_key(drain_id))))

    def known(self, drain_id: str) -> bool:
        """Whether there is a record of this id."""
        return bool(self._redis.exists(_key(drain_id)))

    def update(self, drain_id: str, change: Change, *, ring: bool = False) -> Drain:
        """Replace a record by ``change`` of it, atomically; return the new one.

        ``change`` may run several times, and may raise to leave the record as it is.
        """
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, _key(drain_id))
                old = _parse(drain_id, cast("bytes | None", pipe.get(_key(drain_id))))
                new = change(old)
                if new == old:
                    return old
                ends = new.state is State.ENDED
                pipe.multi()
                pipe.set(_key(new.id), new.model_dump_json(), ex=self._keep if ends else None)
                tallies.add(pipe, tallies.of_drain(old, new))
                if ends:
                    pipe.hdel(LIVE, new.host)
                if ring:
                    pipe.rpush(BELL, new.id)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new

    def live(self) -> list[Drain]:
        """Every drain that has not ended, by host."""
        return self._read(self.live_ids())

    def live_ids(self) -> list[str]:
        """The ids of the same; one that has just ended may be among them."""
        ids = cast("dict[bytes, bytes]", self._redis.hgetall(LIVE))
        return [value.decode() for _, value in sorted(ids.items())]

    def recent(self, limit: int = 20, *, host: str | None = None) -> list[Drain]:
        """The newest drains, newest first, of all hosts or of one."""
        ids = cast("list[bytes]", self._redis.zrange(RECENT, 0, -1, desc=True))
        found: list[Drain] = []
        size = max(limit, PAGE)
        for start in range(0, len(ids), size):
            page = self._read([i.decode() for i in ids[start : start + size]])
            found += [drain for drain in page if host in {None, drain.host}]
            if len(found) >= limit:
                break
        return found[:limit]

    def _read(self, ids: list[str]) -> list[Drain]:
        values = cast("list[bytes | None]", self._redis.mget([_key(i) for i in ids]) if ids else [])
        found = zip(ids, values, strict=True)
        return load_known(Drain, ((i, value) for i, value in found if value is not None))


def _key(drain_id: str) -> str:
    return f"podferry:drain:{drain_id}"


def _parse(drain_id: str, value: bytes | None) -> Drain:
    if value is None:
        raise DrainNotFoundError(drain_id)
    return load(Drain, drain_id, value)
