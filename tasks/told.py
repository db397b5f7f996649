"""What was told of all hosts, read from Redis at once and put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from runtime import Canary
from tasks.errors import UnreadableRecordError
from tasks.hosts import Cordon, HostReport, HostStatus, state_of
from tasks.models import Inventory, WorkerInfo
from tasks.stored import R, load

if TYPE_CHECKING:
    from redis import Redis

INVENTORIES = "podferry:inventories"
CANARIES = "podferry:canaries"
RATES = "podferry:rates"
REPORTS = "podferry:hosts"
CORDONS = "podferry:cordons"
LABELS = "podferry:labels"
BY_HOST = (INVENTORIES, CANARIES, RATES, REPORTS, CORDONS)  # their fields are hosts

Hash = dict[bytes, bytes]


@dataclass(frozen=True, kw_only=True)
class Told:
    """The hashes of all hosts, parsed as far as they are asked for."""

    inventories: Hash
    canaries: Hash
    rates: Hash
    reports: Hash
    cordons: Hash
    labels: dict[str, dict[str, str]]  # operators' own, by host

    @classmethod
    def read(cls, redis: Redis) -> Told:
        """Ask for everything of all hosts at once."""
        with redis.pipeline(transaction=False) as pipe:
            for key in (*BY_HOST, LABELS):
                pipe.hgetall(key)
            *told, labels = cast("list[Hash]", pipe.execute())
        return cls._of(told, labels)

    @classmethod
    def read_one(cls, redis: Redis, host: str) -> Told:
        """Ask for everything of one host at once."""
        with redis.pipeline(transaction=False) as pipe:
            for key in BY_HOST:
                pipe.hget(key, host)
            pipe.hgetall(LABELS)
            *values, labels = pipe.execute()
        told = ({} if value is None else {host.encode(): value} for value in values)
        return cls._of(told, labels)

    @classmethod
    def _of(cls, told: Iterable[Hash], labels: Hash) -> Told:
        inventories, canaries, rates, reports, cordons = told
        return cls(
            inventories=inventories,
            canaries=canaries,
            rates=rates,
            reports=reports,
            cordons=cordons,
            labels=_by_host(labels),
        )

    def seen(self, info: WorkerInfo, online: bool) -> tuple[HostStatus, Inventory | None]:
        """The status of a worker's host, less its old copies, and what it said last that it holds.

        Where something told of it cannot be read, its ``error`` says so: nothing is placed there.
        """
        try:
            inventory = _parsed(Inventory, self.inventories, info.host or "")
            return self._status(info, online, inventory), inventory
        except UnreadableRecordError as error:
            status = HostStatus(
                host=info.host or "",
                state=state_of(online, None),
                online=online,
                engine=info.engine,
                seen=info.seen,
                left=info.left and not online,
                error=str(error),
            )
            return status, None

    def _status(self, info: WorkerInfo, online: bool, inventory: Inventory | None) -> HostStatus:
        host = info.host or ""
        report = _parsed(HostReport, self.reports, host) or HostReport(host=host)
        cordon = _parsed(Cordon, self.cordons, host)
        rate = self.rates.get(host.encode())
        return HostStatus(
            host=host,
            state=state_of(online, cordon),
            online=online,
            engine=info.engine,
            containers=len(inventory.containers) if inventory else 0,
            seen=info.seen,
            error=inventory.error if inventory else "",
            canary=_parsed(Canary, self.canaries, host) or Canary(),
            left=info.left and not online,
            labels=report.labels | self.labels.get(host, {}),
            cordon=cordon,
            facts=report.facts,
            room=report.room,
            rate=None if rate is None else float(rate),
        )


def cordons_of(redis: Redis) -> dict[str, Cordon]:
    """The hosts that are cordoned. A cordon that cannot be read is one."""
    told = cast("Hash", redis.hgetall(CORDONS))
    return {host.decode(): cordon_of(host.decode(), value) for host, value in told.items()}


def cordon_of(host: str, value: bytes) -> Cordon:
    """A host's cordon; one that cannot be read says so."""
    try:
        return load(Cordon, host, value)
    except UnreadableRecordError as error:
        return Cordon(reason=str(error))


def _by_host(labels: Hash) -> dict[str, dict[str, str]]:
    """Operators' labels by host; a field is a host and a key."""
    found: dict[str, dict[str, str]] = {}
    for field, value in labels.items():
        host, _, key = field.decode().partition(" ")
        found.setdefault(host, {})[key] = value.decode()
    return found


def _parsed(record: type[R], told: Hash, host: str) -> R | None:
    value = told.get(host.encode())
    return None if value is None else load(record, host, value)
