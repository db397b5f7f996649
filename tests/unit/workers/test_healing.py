"""When a control worker takes a host for dead by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from tasks.errors import InvalidRequestError
from tasks.models import Inventory, WorkerInfo, WorkloadLine
from tasks.registry import Registry
from workers import healing
from workers.healing import LOOK_SECONDS, DeadHosts, heal
from workers.settings import Settings
from workers.worker import run_worker

AFTER = 300.0
WORKER = WorkerInfo(id="host.a", host="a", version="1", pid=1)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dead(redis: FakeRedis, clock: Clock) -> DeadHosts:
    return DeadHosts(Registry(redis), timedelta(seconds=AFTER), clock)


def looks(dead: DeadHosts, clock: Clock, seconds: float) -> list[str]:
    """What it says after looking for so long."""
    until = clock.seconds + seconds
    while clock.seconds < until:
        found = dead.look()
        clock.seconds += LOOK_SECONDS
    return found


def dies(redis: FakeRedis) -> None:
    Registry(redis).beat(WORKER)
    redis.delete("podferry:alive:host.a")


def test_a_host_is_dead_after_so_long(redis: FakeRedis, dead: DeadHosts, clock: Clock) -> None:
    dies(redis)
    assert looks(dead, clock, AFTER - LOOK_SECONDS) == []
    assert looks(dead, clock, LOOK_SECONDS * 3) == ["a"]


def test_one_that_gave_a_sign_is_not(redis: FakeRedis, dead: DeadHosts, clock: Clock) -> None:
    dies(redis)
    looks(dead, clock, AFTER - LOOK_SECONDS)
    Registry(redis).beat(WORKER)
    looks(dead, clock, LOOK_SECONDS)
    dies(redis)
    assert looks(dead, clock, LOOK_SECONDS * 3) == []


def test_one_whose_worker_was_told_to_stop_is_not(
    redis: FakeRedis, dead: DeadHosts, clock: Clock
) -> None:
    Registry(redis).beat(WORKER)
    Registry(redis).leave(WORKER)
    assert looks(dead, clock, AFTER * 2) == []


def test_while_nobody_looked_nothing_is_known(
    redis: FakeRedis, dead: DeadHosts, clock: Clock
) -> None:
    dies(redis)
    looks(dead, clock, LOOK_SECONDS)
    clock.seconds += AFTER * 2  # Redis was away, for everybody
    assert looks(dead, clock, LOOK_SECONDS) == []


def test_nothing_is_fenced_where_nothing_can_be_healed(
    redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = WorkloadLine(name="web", id="1" * 64, image="web", state="running")
    Registry(redis).report(Inventory(host="a", containers=(line,)))
    dies(redis)
    fenced: list[str] = []
    monkeypatch.setattr(healing, "fence", lambda host, *_, **__: fenced.append(host))
    settings = Settings(store_url="memory://", encryption="off", fence_command="true")
    heal(redis, settings, "a")
    assert fenced == []


def test_healing_by_itself_needs_a_fence() -> None:
    settings = Settings(heal_after=timedelta(minutes=5))
    with pytest.raises(InvalidRequestError, match="PODFERRY_FENCE_COMMAND"):
        run_worker(settings, control=True)
