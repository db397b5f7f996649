"""One simulation: an installation of fake hosts, of which some are drained at once."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from podferry import Client, DrainOptions, DrainResult
from tasks.drains.records import LIVE
from tests.bench.machine import machine
from tests.many.installation import Installation, Worker, installation
from tests.soak.fleet import HOSTS, STRETCH, TOLD, WORKLOADS
from tests.soak.records import Reading, Soak
from tests.soak.usage import read

CONTROLS = 1
FLEETS = 2
HOSTS_PER_CORE = 150  # that tell once a second, beside all else that runs here
LOOK_SECONDS = 1.0
SETTLE_SECONDS = 5.0
TOLD_SECONDS = 60.0  # within which every host says again what it holds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many of what."""

    hosts: int
    workloads: int
    drained: int
    idle_seconds: float = 20.0
    limit_seconds: float = 1500.0

    @property
    def stretch(self) -> float:
        """By how much seldomer hosts tell what they hold than they would: a core tells for few."""
        return max(1.0, self.hosts / HOSTS_PER_CORE)

    @property
    def names(self) -> list[str]:
        """The hosts."""
        return [f"h{number:04}" for number in range(self.hosts)]


def soak(plan: Plan) -> Soak:
    """Run it, judge it, and return what it cost."""
    with _simulated(plan) as made, Redis.from_url(made.redis_url) as redis:
        client, emptied = made.client, plan.names[:: plan.hosts // plan.drained][: plan.drained]
        time.sleep(SETTLE_SECONDS)
        quiet = _read(redis, made)
        time.sleep(plan.idle_seconds)
        before = _read(redis, made)
        options = DrainOptions(max_parallel=1)
        drains = [client.drains.begin(host, options).id for host in emptied]
        asked = time.monotonic() - before.moment
        limit = time.monotonic() + plan.limit_seconds
        while redis.hlen(LIVE):
            assert time.monotonic() < limit, f"{redis.hlen(LIVE)} drains still run\n{made.logs()}"
            time.sleep(LOOK_SECONDS)
        after = _read(redis, made)
        moves = _judge(client, plan, drains)
    return Soak(
        hosts=plan.hosts,
        workloads=plan.workloads,
        drained=plan.drained,
        moves=moves,
        idle=before.since(quiet),
        busy=after.since(before),
        asked=asked,
        stretch=plan.stretch,
        machine=machine(None),
    )


@contextmanager
def _simulated(plan: Plan) -> Iterator[Installation]:
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True) as name,
        installation(Path(name), (), controls=CONTROLS) as made,
    ):
        fleets = [_fleet(made, plan, number) for number in range(FLEETS)]
        try:
            for fleet in fleets:
                fleet.start()
                made.workers.append(fleet)
            _await(made, plan)
            yield made
        finally:
            for fleet in fleets:
                fleet.stop()


def _fleet(made: Installation, plan: Plan, number: int) -> Worker:
    own = {
        HOSTS: ",".join(plan.names[number::FLEETS]),
        WORKLOADS: str(plan.workloads // plan.hosts),
        STRETCH: str(plan.stretch),
        TOLD: str(_told(made, number)),
        "PODFERRY_LEASE_SECONDS": "30",
    }
    return Worker(
        name=f"fleet-{number}",
        module="tests.soak.worker",
        environment={**made.environment, **own},
        log=made.directory / f"fleet-{number}.log",
    )


def _await(made: Installation, plan: Plan) -> None:
    limit = time.monotonic() + plan.limit_seconds
    while sum(alive for _, alive in made.client.workers()) < plan.hosts + CONTROLS:
        assert time.monotonic() < limit, made.logs()
        time.sleep(LOOK_SECONDS)


def _read(redis: Redis, made: Installation) -> Reading:
    groups: dict[str, list[int]] = {"control": [], "hosts": []}
    for worker in made.workers:
        groups["hosts" if worker.name.startswith("fleet") else "control"].append(worker.pid)
    told = [float(_told(made, number).read_text()) for number in range(FLEETS)]
    return read(redis, groups, sum(told) / FLEETS)


def _told(made: Installation, number: int) -> Path:
    return made.directory / f"fleet-{number}.told"


def _judge(client: Client, plan: Plan, drains: Sequence[str]) -> int:
    """Fail unless everything has moved, and runs once; return how many have."""
    found = [client.drains.get(name) for name in drains]
    assert {drain.result for drain in found} == {DrainResult.DRAINED}
    emptied = {drain.host for drain in found}
    limit = time.monotonic() + TOLD_SECONDS
    # a host tells what it holds every few seconds: what came last may not be told yet
    while (copies := _copies(client, emptied)) != (plan.workloads, plan.workloads):
        assert time.monotonic() < limit, f"{copies} run, of {plan.workloads}"
        time.sleep(LOOK_SECONDS)
    return sum(len(drain.items) for drain in found)


def _copies(client: Client, emptied: Collection[str]) -> tuple[int, int]:
    """How many workloads run on the other hosts, and how many copies of them."""
    running = Counter(
        line.name
        for inventory in client.inventories()
        if inventory.host not in emptied
        for line in inventory.containers
        if line.state == "running"
    )
    return len(running), running.total()
