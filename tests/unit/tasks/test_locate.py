from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakeredis import FakeRedis

from tasks import locate
from tasks.errors import (
    AmbiguousContainerError,
    HostOfflineError,
    InvalidRequestError,
    NoControlWorkerError,
    UnknownContainerError,
    UnknownHostError,
)
from tasks.locate import Locator
from tasks.models import Inventory, WorkerInfo, WorkloadLine
from tasks.registry import Registry


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


@pytest.fixture
def registry(redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.05)
    made = Registry(redis)
    for host in ("a", "b"):
        made.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1))
    return made


def holds(registry: Registry, host: str, **states: str) -> None:
    lines = tuple(
        WorkloadLine(name=name, id=f"{host}{'0' * 63}", image="web", state=state)
        for name, state in states.items()
    )
    registry.report(Inventory(host=host, containers=lines))


def test_a_container_is_found_by_name_or_id(registry: Registry) -> None:
    holds(registry, "b", web="running")
    for name in ("web", "b" + "0" * 63, "b" + "0" * 11):
        assert Locator(registry).locate(name, None).host == "b"


def test_of_several_the_running_one_is_meant(registry: Registry) -> None:
    holds(registry, "a", web="exited")
    holds(registry, "b", web="running")
    assert Locator(registry).locate("web", None).host == "b"
    assert Locator(registry).locate("web", "a").host == "a"


def test_several_running_ones_need_a_host(registry: Registry) -> None:
    holds(registry, "a", web="running")
    holds(registry, "b", web="running")
    with pytest.raises(AmbiguousContainerError, match="--from"):
        Locator(registry).locate("web", None)


def test_an_unknown_container_names_the_hosts_that_were_asked(registry: Registry) -> None:
    with pytest.raises(UnknownContainerError, match="asked: a, b"):
        Locator(registry).locate("web", None)
    with pytest.raises(UnknownContainerError, match="asked: a"):
        Locator(registry).locate("web", "a")


def test_a_dead_host_has_no_containers(registry: Registry, redis: FakeRedis) -> None:
    holds(registry, "a", web="running")
    redis.delete("podferry:alive:host.a")
    with pytest.raises(UnknownContainerError):
        Locator(registry).locate("web", None)
    with pytest.raises(HostOfflineError, match="'a' is offline"):
        registry.require_host("a")


def test_an_unknown_host_names_the_known_ones(registry: Registry) -> None:
    with pytest.raises(UnknownHostError, match="known hosts: a, b"):
        registry.require_host("c")


def test_nothing_is_queued_without_a_control_worker(registry: Registry) -> None:
    with pytest.raises(NoControlWorkerError):
        registry.require_control()


def test_a_second_copy_is_refused(registry: Registry) -> None:
    holds(registry, "a", web="running")
    locator = Locator(registry)
    with pytest.raises(InvalidRequestError, match="a second copy"):
        locator.refuse_copies(("web",), "b", replace=True)
    with pytest.raises(InvalidRequestError, match="--replace"):
        locator.refuse_copies(("web",), "a", replace=False)
    locator.refuse_copies(("web",), "a", replace=True)


def test_a_stopped_copy_elsewhere_is_no_hindrance(registry: Registry) -> None:
    holds(registry, "a", web="exited")
    Locator(registry).refuse_copies(("web",), "b", replace=False)
