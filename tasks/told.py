"""What was told of all hosts, read from Redis at once and put together."""

from __future__ import annotations

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
        """Ask for everything at once."""
        with redis.pipeline(transaction=False) as pipe:
            for key in (INVENTORIES, CANARIES, RATES, REPORTS, CORDONS, LABELS):
                pipe.hgetall(key)
            answers = cast("list[Hash]", pipe.execute())
        inventories, canaries, rates, reports, cordons, labels = answers
        return cls(
            inventories=inventories,
            canaries=canaries,
            rates=rates,
            reports=reports,
            cordons=cordons,
            labels=_by_host(labels),
        )

    def status(self, info: WorkerInfo, online: bool) -> HostStatus:
        """The status of a worker's host; its old copies are left out.

        Where something told of it cannot be read, its ``error`` says so: nothing is placed there.
        """
        try:
            return self._status(info, online)
        except UnreadableRecordError as error:
            return HostStatus(
                host=info.host or "",
                state=state_of(online, None),
                online=online,
                engine=info.engine,
                seen=info.seen,
                left=info.left and not online,
                error=str(error),
            )

    def _status(self, info: WorkerInfo, online: bool) -> HostStatus:
        host = info.host or ""
        inventory = _parsed(Inventory, self.inventories, host)
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
