"""Which workers live and what their hosts hold, told by heartbeats in Redis."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import timedelta
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
from tasks.hosts import Cordon, HostReport, HostStatus
from tasks.models import Inventory, WorkerInfo, WorkloadLine, now
from tasks.placement import Candidate, candidate
from tasks.records import BELL
from tasks.stored import R, load, load_known
from tasks.told import (
    CANARIES,
    CORDONS,
    INVENTORIES,
    LABELS,
    RATES,
    REPORTS,
    Told,
    cordon_of,
    cordons_of,
)
from tasks.turns import alone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from redis import Redis

HEARTBEAT_SECONDS = 2.0
OFFLINE_SECONDS = 10
PLACING = timedelta(seconds=10)  # the longest that placing takes, of thousands of hosts
WORKERS = "podferry:workers"
RAN = "podferry:ran"


class Registry:
    """Workers and inventories.

    Keys: ``podferry:workers``, ``podferry:inventories``, ``podferry:ran`` (the last inventories
    that an engine answered for), ``podferry:canaries``, ``podferry:rates``, ``podferry:hosts``
    (what workers tell of their hosts), ``podferry:cordons`` and ``podferry:labels`` (what operators
    say of them; a label's field is its host and its key) (hashes, kept), and
    ``podferry:alive:ID`` per worker, which Redis lets expire when the heartbeat stops: a worker
    that is killed sends no farewell.
    """

    def __init__(self, redis: Redis, *, remember_seconds: float = 0.0) -> None:
        self._redis = redis
        self._remember_seconds = remember_seconds
        self._candidates: list[Candidate] = []
        self._forget_at = 0.0

    def beat(self, info: WorkerInfo) -> None:
        """Say that a worker lives."""
        with self._redis.pipeline() as pipe:
            pipe.hset(WORKERS, info.id, info.model_dump_json())
            pipe.set(_alive(info.id), 1, ex=OFFLINE_SECONDS)
            pipe.execute()

    def leave(self, info: WorkerInfo) -> None:
        """Say that a worker stops; its host stays known."""
        farewell = info.model_copy(update={"left": True, "seen": now()})
        with self._redis.pipeline() as pipe:
            pipe.hset(WORKERS, info.id, farewell.model_dump_json())
            pipe.delete(_alive(info.id))
            pipe.execute()

    def report(self, inventory: Inventory) -> None:
        """Say what a host holds; a drain that waits for that hears of it at once."""
        with self._redis.pipeline() as pipe:
            for key in (INVENTORIES, *(() if inventory.error else (RAN,))):
                pipe.hset(key, inventory.host, inventory.model_dump_json())
            pipe.hget(CORDONS, inventory.host)
            *_, told = pipe.execute()
        cordon = cordon_of(inventory.host, told) if told else None
        if cordon is not None and cordon.rings:
            self._redis.rpush(BELL, cordon.drain)

    def ran(self, host: str) -> Inventory | None:
        """What a host held when its engine last answered; None when it never did."""
        value = cast("bytes | None", self._redis.hget(RAN, host))
        return None if value is None else load(Inventory, host, value)

    def report_canary(self, host: str, canary: Canary) -> None:
        """Say whether CRIU works on a host."""
        self._redis.hset(CANARIES, host, canary.model_dump_json())

    def canary(self, host: str) -> Canary:
        """The last canary of a host."""
        value = cast("bytes | None", self._redis.hget(CANARIES, host))
        return Canary() if value is None else load(Canary, host, value)

    def report_rate(self, host: str, bytes_per_second: float) -> None:
        """Say how fast a host sent a checkpoint, not counting what the engine took.

        In bytes of memory and files, before compression.
        """
        self._redis.hset(RATES, host, str(bytes_per_second))

    def rate(self, host: str) -> float | None:
        """How fast a host last sent a checkpoint, in bytes per second; None when it never did."""
        value = cast("bytes | None", self._redis.hget(RATES, host))
        return None if value is None else float(value)

    def report_host(self, report: HostReport) -> None:
        """Say what a host is and what it has left."""
        self._redis.hset(REPORTS, report.host, report.model_dump_json())

    def placing(self) -> AbstractContextManager[None]:
        """Whoever gives workloads hosts does so alone: what one reserves, the next one sees."""
        return alone(self._redis, "placing", PLACING)

    def cordon(
        self, host: str, reason: str = "", drain: str = "", *, rings: bool = False
    ) -> Cordon:
        """Keep new workloads away from a host, in the place of an earlier cordon.

        With ``rings`` the host's next inventory has the drain driven on. Raises UnknownHostError.
        """
        self.require_known(host)
        cordon = Cordon(reason=reason, drain=drain, rings=rings)
        self._redis.hset(CORDONS, host, cordon.model_dump_json())
        return cordon

    def uncordon(self, host: str) -> bool:
        """Let a host take workloads again; whether it was cordoned. Raises UnknownHostError."""
        self.require_known(host)
        return bool(self._redis.hdel(CORDONS, host))

    def cordoned(self) -> set[str]:
        """The hosts that new workloads are kept away from."""
        return {host.decode() for host in cast("list[bytes]", self._redis.hkeys(CORDONS))}

    def label(self, host: str, put: Mapping[str, str], remove: Collection[str] = ()) -> None:
        """Set and remove an operator's labels of a host; what its worker tells is not touched.

        Raises UnknownHostError.
        """
        self.require_known(host)
        with self._redis.pipeline() as pipe:
            for key, value in put.items():
                pipe.hset(LABELS, f"{host} {key}", value)
            if remove:
                pipe.hdel(LABELS, *(f"{host} {key}" for key in remove))
            pipe.execute()

    def workers(self) -> dict[str, tuple[WorkerInfo, bool]]:
        """Every worker ever seen by id, and whether it lives."""
        infos = _all(WorkerInfo, self._redis.hgetall(WORKERS))
        if not infos:
            return {}
        alive = cast("list[object]", self._redis.mget([_alive(i.id) for i in infos]))
        return {i.id: (i, a is not None) for i, a in zip(infos, alive, strict=True)}

    def inventories(self) -> dict[str, Inventory]:
        """The last inventory of every host, dead ones included."""
        found = _all(Inventory, self._redis.hgetall(INVENTORIES))
        return {inventory.host: inventory for inventory in found}

    def inventory(self, host: str) -> Inventory | None:
        """The last inventory of a host; None when it never told any."""
        value = cast("bytes | None", self._redis.hget(INVENTORIES, host))
        return None if value is None else load(Inventory, host, value)

    def hosts(self) -> list[HostStatus]:
        """Every host ever seen, by name."""
        found = [status for status, _ in self._survey()]
        kept = Evictions(self._redis).all_kept([status.host for status in found])
        return [s.model_copy(update={"old_copies": kept[s.host]}) for s in found]

    def candidates(self) -> list[Candidate]:
        """Every host ever seen as placement sees it, with nothing on its way there.

        As it was told up to ``remember_seconds`` ago, but for cordons, which are always asked for.
        """
        if time.monotonic() >= self._forget_at:
            self._candidates = [candidate(*seen) for seen in self._survey()]
            self._forget_at = time.monotonic() + self._remember_seconds
            return self._candidates
        cordons = cordons_of(self._redis)
        return [c.with_cordon(cordons.get(c.host)) for c in self._candidates]

    def _survey(self) -> list[tuple[HostStatus, Inventory | None]]:
        """Every host ever seen with what it holds, by name; old copies are left out.

        A handful of answers of Redis, whatever the number of hosts.
        """
        workers = sorted(
            ((i, o) for i, o in self.workers().values() if i.host), key=lambda w: w[0].host or ""
        )
        told = Told.read(self._redis)
        return [told.seen(info, online) for info, online in workers]

    def known(self, host: str) -> bool:
        """Whether a worker of this host was ever seen."""
        return bool(self._redis.hexists(WORKERS, host_worker(host)))

    def require_known(self, host: str) -> None:
        """Return when a worker of this host was ever seen. Raises UnknownHostError."""
        if not self.known(host):
            known = sorted(info.host for info, _ in self.workers().values() if info.host)
            raise UnknownHostError(host, known)

    def status(self, host: str) -> HostStatus:
        """The status of one host; its old copies are left out. Raises UnknownHostError."""
        self.require_known(host)
        worker = host_worker(host)
        info = load(WorkerInfo, worker, cast("bytes", self._redis.hget(WORKERS, worker)))
        online = bool(self._redis.exists(_alive(worker)))
        return Told.read_one(self._redis, host).seen(info, online)[0]

    def online(self) -> list[str]:
        """The names of the hosts that live, sorted."""
        return sorted(i.host for i, alive in self.workers().values() if alive and i.host)

    def require_host(self, host: str) -> HostStatus:
        """The status of a live host. Raises UnknownHostError, HostOfflineError."""
        status = self.status(host)
        if not status.online:
            raise HostOfflineError(host)
        return status

    def require_silent(self, host: str) -> HostStatus:
        """The status of a host that sends no heartbeat. Raises UnknownHostError, HostAliveError."""
        status = self.status(host)
        if status.online:
            raise HostAliveError(host)
        return status

    def require_control(self) -> None:
        """Return when a control worker lives. Raises NoControlWorkerError."""
        if not any(info.control and alive for info, alive in self.workers().values()):
            raise NoControlWorkerError

    def find(self, container: str) -> list[tuple[str, WorkloadLine]]:
        """Live hosts that have a container of this name or id, with its line."""
        online = set(self.online())
        return [
            (host, line)
            for host, inventory in sorted(self.inventories().items())
            if host in online
            for line in inventory.containers
            if container == line.name or (len(container) >= 12 and line.id.startswith(container))
        ]


def _all(kind: type[R], told: object) -> list[R]:
    """Those of a hash that can be read."""
    values = cast("dict[bytes, bytes]", told).items()
    return load_known(kind, ((name.decode(), value) for name, value in values))


def host_worker(host: str) -> str:
    """The id of a host's worker: it has one."""
    return f"host.{host}"


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


def _alive(worker: str) -> str:
    return f"podferry:alive:{worker}"
