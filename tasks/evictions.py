"""What must not stay, or not run, on a host that was out of reach when this was decided.

Control workers and clients record it here; the host's worker acts on it (``tasks.evicting``), at
its start and for as long as it lives.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, cast

from pydantic import AwareDatetime, Field
from redis.exceptions import WatchError

from tasks.broker import watch
from tasks.models import Model, Parts, now
from tasks.stored import load, load_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redis import Redis

EVICTIONS = "podferry:evictions:"


class Meaning(StrEnum):
    """What is to be done with what is found."""

    REMOVE = "remove"  # parts of a copy that never ran: they go
    STOP = "stop"  # it was brought up elsewhere: it is stopped, and kept with its volumes


class Eviction(Model):
    """What one workflow says of one workload on one host.

    A copy to be stopped is known by its containers' ids alone; one to be removed by its names too,
    for a cold start has no ids beforehand. ``stopped`` is when the host's worker had done it.
    """

    version: Literal[1] = 1
    meaning: Meaning
    workload: str
    workflow: str
    parts: Parts
    recorded: AwareDatetime = Field(default_factory=now)
    stopped: AwareDatetime | None = None

    @property
    def key(self) -> str:
        """Its field: of the copies to be stopped, each workload has one."""
        return f"{self.meaning}:{self.workload if self.meaning is Meaning.STOP else self.workflow}"

    def without(self, made: Parts) -> Eviction | None:
        """What is left of it where ``made`` was found absent, and belongs; None: nothing is."""
        old = self.parts
        kept = [i for i, name in enumerate(old.containers) if name not in made.containers]
        paired = len(old.ids) == len(old.containers)
        parts = Parts(
            containers=tuple(old.containers[i] for i in kept),
            ids=tuple(old.ids[i] for i in kept) if paired else old.ids,
            volumes=tuple(v for v in old.volumes if v not in made.volumes),
            pod="" if old.pod == made.pod else old.pod,
        )
        empty = not parts.containers and (self.meaning is Meaning.STOP or not parts.volumes)
        return None if empty else self.model_copy(update={"parts": parts})


class Evictions:
    """The evictions of one installation: a hash ``podferry:evictions:HOST`` per host."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def put(self, host: str, eviction: Eviction) -> None:
        """Record one, in the place of an earlier one of its key."""
        self._redis.hset(f"{EVICTIONS}{host}", eviction.key, eviction.model_dump_json())

    def of(self, host: str) -> list[Eviction]:
        """Those of a host, the oldest first. Raises UnreadableRecordError."""
        told = cast("dict[bytes, bytes]", self._redis.hgetall(f"{EVICTIONS}{host}"))
        found = [load(Eviction, key.decode(), value) for key, value in told.items()]
        return sorted(found, key=lambda eviction: eviction.recorded)

    def kept(self, host: str) -> tuple[str, ...]:
        """The workloads whose old copies a host's worker has stopped."""
        return _kept(self.of(host))

    def all_kept(self, hosts: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The same of many hosts, in one answer of Redis."""
        with self._redis.pipeline(transaction=False) as pipe:
            for host in hosts:
                pipe.hgetall(f"{EVICTIONS}{host}")
            answers = cast("list[dict[bytes, bytes]]", pipe.execute())
        return {host: _kept(_known(told)) for host, told in zip(hosts, answers, strict=True)}

    def change(self, host: str, seen: Eviction, new: Eviction | None) -> bool:
        """Replace one by another, or by none, if it is as it was seen; whether it was."""
        place = f"{EVICTIONS}{host}"
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, place)
                value = cast("bytes | None", pipe.hget(place, seen.key))
                if value is None or load(Eviction, seen.key, value) != seen:
                    return False
                pipe.multi()
                if new is None:
                    pipe.hdel(place, seen.key)
                else:
                    pipe.hset(place, seen.key, new.model_dump_json())
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return True

    def void(self, host: str, made: Parts) -> None:
        """Forget what was said of these parts: they were found absent, and now belong there."""
        for seen in self.of(host):
            while (left := seen.without(made)) != seen and not self.change(host, seen, left):
                found = next((e for e in self.of(host) if e.key == seen.key), None)
                if found is None:
                    break
                seen = found


def _known(told: Mapping[bytes, bytes]) -> list[Eviction]:
    return load_known(Eviction, ((key.decode(), value) for key, value in told.items()))


def _kept(evictions: Iterable[Eviction]) -> tuple[str, ...]:
    return tuple(sorted(e.workload for e in evictions if e.stopped is not None))
