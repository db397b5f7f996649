from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from fakeredis import FakeRedis

from runtime import Canary, CanaryState, FakeRuntime
from tasks.registry import Registry
from workers.canary import canary_watch


@pytest.fixture
def registry() -> Iterator[Registry]:
    redis = FakeRedis(protocol=2)
    yield Registry(redis)
    redis.close()


def eventually(check: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not check():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("state", list(CanaryState))
def test_the_first_canary_flies_at_once_and_is_told(registry: Registry, state: CanaryState) -> None:
    runtime = FakeRuntime()
    runtime.next_canary = Canary(state=state, reason="so")
    watch = canary_watch(registry, "a", runtime, every_seconds=3600)
    assert registry.canary("a").reason == ""
    watch.start()
    try:
        eventually(lambda: registry.canary("a").reason == "so")
        assert registry.canary("a").state is state
    finally:
        watch.stop()


def test_another_follows_in_time(registry: Registry) -> None:
    runtime = FakeRuntime()
    watch = canary_watch(registry, "a", runtime, every_seconds=0.01)
    watch.start()
    try:
        eventually(lambda: registry.canary("a").state is CanaryState.OK)
        runtime.next_canary = Canary(state=CanaryState.FAILED, reason="gone")
        eventually(lambda: registry.canary("a").reason == "gone")
    finally:
        watch.stop()
