from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fakeredis import FakeRedis

from runtime import CANARY_LABEL, EngineUnavailableError, FakeRuntime, RunSpec
from runtime.fake_state import FakeImage
from tasks.models import Inventory, WorkerInfo
from tasks.registry import Registry
from workers import heartbeat as heartbeats
from workers.heartbeat import Heartbeat


@pytest.fixture
def registry() -> Iterator[Registry]:
    redis = FakeRedis(protocol=2)
    yield Registry(redis)
    redis.close()


@pytest.fixture
def runtime() -> FakeRuntime:
    made = FakeRuntime()
    made.images["1" * 64] = FakeImage(id="1" * 64, names=("localhost/web:1",))
    made.start(made.run(RunSpec(name="web", image="localhost/web:1")))
    return made


def worker(host: str | None = "a", *, control: bool = False) -> WorkerInfo:
    return WorkerInfo(
        id=f"host.{host}" if host else "control.1", host=host, control=control, version="1", pid=1
    )


def eventually(check: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not check():
        assert time.monotonic() < limit
        time.sleep(0.01)


def inventory(registry: Registry) -> Inventory | None:
    return registry.inventories().get("a")


def test_a_host_shows_its_engine_and_containers_and_leaves(
    registry: Registry, runtime: FakeRuntime
) -> None:
    heartbeat = Heartbeat(registry, worker(), runtime)
    heartbeat.start()
    eventually(lambda: bool(registry.find("web")))
    ((host, line),) = registry.find("web")
    assert (host, line.state) == ("a", "running")
    heartbeat.stop()
    (status,) = registry.hosts()
    assert not status.online
    assert registry.find("web") == []


def test_a_canary_is_not_in_the_inventory(registry: Registry, runtime: FakeRuntime) -> None:
    labels = {CANARY_LABEL: "1"}
    runtime.start(runtime.run(RunSpec(name="canary", image="localhost/web:1", labels=labels)))
    heartbeat = Heartbeat(registry, worker(), runtime)
    heartbeat.start()
    try:
        eventually(lambda: bool(registry.find("web")))
        assert registry.find("canary") == []
    finally:
        heartbeat.stop()


def test_an_engine_that_is_away_is_told_and_the_heart_beats_on(
    registry: Registry, runtime: FakeRuntime
) -> None:
    runtime.faults["containers"] = [EngineUnavailableError("/run/podman.sock", "refused")] * 99
    heartbeat = Heartbeat(registry, worker(), runtime)
    heartbeat.start()
    try:
        eventually(lambda: (inventory(registry) or Inventory(host="a")).error != "")
        (status,) = registry.hosts()
        assert status.online
        assert "refused" in status.error
    finally:
        heartbeat.stop()


def test_a_control_worker_is_no_host(registry: Registry) -> None:
    heartbeat = Heartbeat(registry, worker(None, control=True), None)
    heartbeat.start()
    eventually(lambda: bool(registry.workers()))
    registry.require_control()
    assert registry.hosts() == []
    heartbeat.stop()


def test_what_must_not_run_goes_before_it_is_told(registry: Registry, runtime: FakeRuntime) -> None:
    heartbeat = Heartbeat(registry, worker(), runtime, evict=lambda: runtime.stop("web"))
    heartbeat.start()
    eventually(lambda: bool(registry.find("web")))
    ((_, line),) = registry.find("web")
    assert line.state == "exited"
    heartbeat.stop()


def test_what_is_left_is_told_while_the_engine_makes_its_callers_wait(
    registry: Registry, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does while it writes a checkpoint."""
    monkeypatch.setattr(heartbeats, "ROOM_SECONDS", 0.01)
    heartbeat, dumped = Heartbeat(registry, worker(), runtime), threading.Event()
    heartbeat.start()
    try:
        eventually(lambda: registry.hosts() != [] and registry.hosts()[0].facts is not None)
        for asked in ("containers", "host_facts", "capabilities"):
            monkeypatch.setattr(runtime, asked, lambda: dumped.wait(60))
        runtime.host = runtime.host.model_copy(update={"memory_free_bytes": 7})
        eventually(lambda: registry.hosts()[0].memory_free_bytes == 7)
    finally:
        dumped.set()
        monkeypatch.undo()
        heartbeat.stop()


def test_it_tells_what_the_host_is_and_what_it_has_left(
    registry: Registry, runtime: FakeRuntime
) -> None:
    heartbeat = Heartbeat(registry, worker(), runtime, labels={"zone": "x"})
    heartbeat.start()
    try:
        eventually(lambda: bool(registry.hosts()) and registry.hosts()[0].facts is not None)
        (status,) = registry.hosts()
        assert status.labels == {"zone": "x"}
        assert status.memory_free_bytes == runtime.host.memory_free_bytes
        eventually(lambda: registry.find("web")[0][1].memory_bytes > 0)
    finally:
        heartbeat.stop()
