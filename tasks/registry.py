"""Which workers live and what their hosts hold, told by heartbeats in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runtime import Canary
from tasks.errors import (
    AmbiguousContainerError,
    HostAliveError,
    HostOfflineError,
    NoControlWorkerError,
    UnknownContainerError,
    UnknownHostError,
)
from tasks.evictions import Evictions
from tasks.models import HostStatus, Inventory, WorkerInfo, WorkloadLine, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

HEARTBEAT_SECONDS = 2.0
OFFLINE_SECONDS = 10
WORKERS = "podferry:workers"
INVENTORIES = "podferry:inventories"
RAN = "podferry:ran"
CANARIES = "podferry:canaries"
RATES = "podferry:rates"


class Registry:
    """Workers and inventories.

    Keys: ``podferry:workers``, ``podferry:inventories``, ``podferry:ran`` (the last inventories
    that an engine answered for), ``podferry:canaries``, ``podferry:rates`` (hashes, kept), and
    ``podferry:alive:ID`` per worker, which Redis lets expire when the heartbeat stops: a worker
    that is killed sends no farewell.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def beat(self, info: WorkerInfo) -> None:
        """Say that a worker lives."""
        with self._redis.pipeline() as pipe:
            pipe.hset(WORKERS, info.id, info.model_dump_json())
            pipe.set(f"podferry:alive:{info.id}", 1, ex=OFFLINE_SECONDS)
            pipe.execute()

    def leave(self, info: WorkerInfo) -> None:
        """Say that a worker stops; its host stays known."""
        farewell = info.model_copy(update={"left": True, "seen": now()})
        with self._redis.pipeline() as pipe:
            pipe.hset(WORKERS, info.id, farewell.model_dump_json())
            pipe.delete(f"podferry:alive:{info.id}")
            pipe.execute()

    def report(self, inventory: Inventory) -> None:
        """Say what a host holds."""
        with self._redis.pipeline() as pipe:
            for key in (INVENTORIES, *(() if inventory.error else (RAN,))):
                pipe.hset(key, inventory.host, inventory.model_dump_json())
            pipe.execute()

    def ran(self, host: str) -> Inventory | None:
        """What a host held when its engine last answered; None when it never did."""
        value = cast("bytes | None", self._redis.hget(RAN, host))
        return None if value is None else Inventory.model_validate_json(value)

    def report_canary(self, host: str, canary: Canary) -> None:
        """Say whether CRIU works on a host."""
        self._redis.hset(CANARIES, host, canary.model_dump_json())

    def canary(self, host: str) -> Canary:
        """The last canary of a host."""
        value = cast("bytes | None", self._redis.hget(CANARIES, host))
        return Canary() if value is None else Canary.model_validate_json(value)

    def report_rate(self, host: str, bytes_per_second: float) -> None:
        """Say how fast a host sent a checkpoint, not counting what the engine took.

        In bytes of memory and files, before compression.
        """
        self._redis.hset(RATES, host, str(bytes_per_second))

    def rate(self, host: str) -> float | None:
        """How fast a host last sent a checkpoint, in bytes per second; None when it never did."""
        value = cast("bytes | None", self._redis.hget(RATES, host))
        return None if value is None else float(value)

    def workers(self) -> dict[str, tuple[WorkerInfo, bool]]:
        """Every worker ever seen by id, and whether it lives."""
        infos = [
            WorkerInfo.model_validate_json(value)
            for value in cast("dict[bytes, bytes]", self._redis.hgetall(WORKERS)).values()
        ]
        if not infos:
            return {}
        alive = cast("list[object]", self._redis.mget([f"podferry:alive:{i.id}" for i in infos]))
        return {i.id: (i, a is not None) for i, a in zip(infos, alive, strict=True)}

    def inventories(self) -> dict[str, Inventory]:
        """The last inventory of every host, dead ones included."""
        values = cast("dict[bytes, bytes]", self._redis.hgetall(INVENTORIES)).values()
        found = [Inventory.model_validate_json(value) for value in values]
        return {inventory.host: inventory for inventory in found}

    def hosts(self) -> list[HostStatus]:
        """Every host ever seen, by name."""
        inventories, evictions = self.inventories(), Evictions(self._redis)
        return [
            _status(info, online, inventories.get(info.host), self.canary(info.host)).model_copy(
                update={"left": info.left and not online, "old_copies": evictions.kept(info.host)}
            )
            for info, online in sorted(self.workers().values(), key=lambda w: w[0].host or "")
            if info.host is not None
        ]

    def online(self) -> list[str]:
        """The names of the hosts that live, sorted."""
        return sorted(i.host for i, alive in self.workers().values() if alive and i.host)

    def require_host(self, host: str) -> HostStatus:
        """The status of a live host. Raises UnknownHostError, HostOfflineError."""
        known = {status.host: status for status in self.hosts()}
        if host not in known:
            raise UnknownHostError(host, sorted(known))
        if not known[host].online:
            raise HostOfflineError(host)
        return known[host]

    def require_silent(self, host: str) -> HostStatus:
        """The status of a host that sends no heartbeat. Raises UnknownHostError, HostAliveError."""
        known = {status.host: status for status in self.hosts()}
        if host not in known:
            raise UnknownHostError(host, sorted(known))
        if known[host].online:
            raise HostAliveError(host)
        return known[host]

    def require_control(self) -> None:
        """Return when a control worker lives. Raises NoControlWorkerError."""
        if not any(info.control and alive for info, alive in self.workers().values()):
            raise NoControlWorkerError

    def find(self, container: str) -> list[tuple[str, WorkloadLine]]:
        """Live hosts that have a container of this name or id, with its line."""
        online = self.online()
        return [
            (host, line)
            for host, inventory in sorted(self.inventories().items())
            if host in online
            for line in inventory.containers
            if container == line.name or (len(container) >= 12 and line.id.startswith(container))
        ]


def choose(
    container: str, found: Sequence[tuple[str, WorkloadLine]], asked: Sequence[str]
) -> tuple[str, WorkloadLine]:
    """The one host to act on: the only one, or the only one where the container runs.

    Raises UnknownContainerError, AmbiguousContainerError.
    """
    if not found:
        raise UnknownContainerError(container, asked)
    if len(found) == 1:
        return found[0]
    running = [place for place in found if place[1].state == "running"]
    if len(running) == 1:
        return running[0]
    raise AmbiguousContainerError(container, [host for host, _ in found])


def _status(
    info: WorkerInfo, online: bool, inventory: Inventory | None, canary: Canary
) -> HostStatus:
    return HostStatus(
        host=info.host or "",
        online=online,
        engine=info.engine,
        containers=len(inventory.containers) if inventory else 0,
        seen=info.seen,
        error=inventory.error if inventory else "",
        canary=canary,
    )
