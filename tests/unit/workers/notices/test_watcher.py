"""A notice drains its host: once, in time, whatever else goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from fakeredis import FakeRedis
from structlog.testing import capture_logs

from runtime import FakeRuntime
from storage import UNENCRYPTED, ArchiveStore, MemoryObjectStore
from tasks.app import make_app
from tasks.context import Context
from tasks.drains.models import Drain, DrainOptions, new_drain
from tasks.drains.records import Drains
from tasks.drains.requests import begin_drain, cancel_drain
from tasks.hosts import HostState
from tasks.models import AT_ONCE, OnDeadline, State, WorkerInfo, now
from tasks.records import Records
from tasks.registry import Registry
from tests.fleet import eventually
from tests.unit.workers.notices.imitation import Metadata, azure_event
from workers.notices.handled import CLAIM, Handled
from workers.notices.models import Notice, Source, SourceError
from workers.notices.sources import open_sources
from workers.notices.watcher import LATE, SPARE_SECONDS, Watcher, notice_watch
from workers.settings import Settings
from workers.worker import _background

CONTROL = WorkerInfo(id="control", control=True, version="1", pid=1)


class Told:
    """A source that says what it is told to."""

    def __init__(self, name: str = "told", *notices: Notice) -> None:
        self.name = name
        self.notices = notices
        self.error: Exception | None = None

    def look(self) -> Sequence[Notice]:
        if self.error:
            raise self.error
        return self.notices


def notice(seconds: float = 120, name: str = "event") -> Notice:
    deadline = now() + timedelta(seconds=seconds)
    return Notice(source="told", deadline=deadline, reason="terminate", id=name)


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


@pytest.fixture
def context(redis: FakeRedis) -> Context:
    archives = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
    return Context(records=Records(redis), archives=archives)


@pytest.fixture
def registry(redis: FakeRedis) -> Registry:
    """Host a is online, and a control worker."""
    found = Registry(redis)
    found.beat(CONTROL)
    found.beat(WorkerInfo(id="host.a", host="a", version="1", pid=1))
    return found


@pytest.fixture
def drains(redis: FakeRedis, registry: Registry) -> Drains:
    return Drains(redis)


@pytest.fixture
def source() -> Told:
    return Told("told", notice())


@pytest.fixture
def watcher(redis: FakeRedis, drains: Drains, source: Told) -> Watcher:
    return Watcher(redis, "a", [source], drains)


def end(drains: Drains, drain: Drain) -> None:
    drains.update(drain.id, lambda d: d.model_copy(update={"state": State.ENDED}))


def test_a_notice_drains_the_host(
    watcher: Watcher, drains: Drains, registry: Registry, source: Told
) -> None:
    watcher.look()
    [drain] = drains.live()
    assert drain.host == "a"
    assert drain.reason == "reclaim notice from told: terminate"
    assert drain.options == DrainOptions(ignore_system=True)
    spare = timedelta(seconds=SPARE_SECONDS)
    assert drain.deadline is not None
    assert abs(drain.deadline - (source.notices[0].deadline - spare)) < timedelta(seconds=1)
    assert registry.require_host("a").state is HostState.DRAINING


def test_a_notice_that_leaves_no_time(watcher: Watcher, drains: Drains, source: Told) -> None:
    source.notices = (notice(-5),)
    watcher.look()
    [drain] = drains.live()
    assert drain.deadline == drain.created + timedelta(seconds=1)


def test_no_notice_is_none(watcher: Watcher, drains: Drains, source: Told) -> None:
    source.notices = ()
    watcher.look()
    assert not drains.recent()


def test_each_is_handled_once_by_all_workers_of_the_host(
    redis: FakeRedis, watcher: Watcher, drains: Drains, source: Told
) -> None:
    watcher.look()
    end(drains, drains.live()[0])
    watcher.look()
    Watcher(redis, "a", [source], drains).look()
    assert len(drains.recent()) == 1
    source.notices = (notice(name="another"),)
    watcher.look()
    assert len(drains.recent()) == 2


def test_other_hosts_have_notices_of_their_own(
    redis: FakeRedis, watcher: Watcher, drains: Drains, registry: Registry, source: Told
) -> None:
    registry.beat(WorkerInfo(id="host.b", host="b", version="1", pid=1))
    watcher.look()
    Watcher(redis, "b", [source], drains).look()
    assert [drain.host for drain in drains.live()] == ["a", "b"]


def test_who_died_before_the_drain_is_followed_by_another(
    redis: FakeRedis, watcher: Watcher, drains: Drains, source: Told
) -> None:
    assert Handled(redis, "a").claim(source.notices[0])
    watcher.look()
    assert not drains.recent(), "somebody is at it"
    assert 0 < redis.pttl("podferry:notice:a:event") <= CLAIM.total_seconds() * 1000
    redis.delete("podferry:notice:a:event")
    watcher.look()
    assert len(drains.live()) == 1


def test_what_was_handled_is_remembered_beyond_the_deadline(
    redis: FakeRedis, watcher: Watcher, source: Told
) -> None:
    source.notices = (notice(3600),)
    watcher.look()
    assert redis.ttl("podferry:notice:a:event") > 3600 + LATE.total_seconds()


def test_what_is_refused_is_tried_again(
    redis: FakeRedis, watcher: Watcher, drains: Drains, registry: Registry
) -> None:
    redis.delete("podferry:alive:control")
    with capture_logs() as logs:
        watcher.look()
        watcher.look()
    assert [line["log_level"] for line in logs] == ["error", "error"]
    assert not drains.recent()
    registry.beat(CONTROL)
    watcher.look()
    assert len(drains.live()) == 1


@pytest.mark.parametrize("seconds", [None, 3600.0])
def test_a_drain_under_way_gets_the_earlier_deadline(
    watcher: Watcher, drains: Drains, registry: Registry, source: Told, seconds: float | None
) -> None:
    slow = DrainOptions(on_deadline=OnDeadline.CONTINUE, max_parallel=1)
    running = begin_drain(drains, registry, "a", slow, deadline_seconds=seconds)
    watcher.look()
    [drain] = drains.live()
    assert (drain.id, drain.deadline) == (running.id, source.notices[0].deadline)
    assert drain.options.on_deadline is OnDeadline.COLD
    assert drain.options.max_parallel == AT_ONCE
    end(drains, drain)
    watcher.look()
    assert len(drains.recent()) == 1


def test_a_drain_under_way_keeps_the_earlier_deadline(
    watcher: Watcher, drains: Drains, registry: Registry
) -> None:
    running = begin_drain(drains, registry, "a", deadline_seconds=10)
    watcher.look()
    assert drains.live() == [running]


def test_a_drain_under_way_is_not_given_up_for_a_notice_without_time(
    watcher: Watcher, drains: Drains, registry: Registry, source: Told
) -> None:
    source.notices = (notice(-5),)
    before = now()
    begin_drain(drains, registry, "a")
    watcher.look()
    [drain] = drains.live()
    assert drain.deadline is not None
    assert drain.deadline >= before + timedelta(seconds=1)


def test_a_drain_that_ends_meanwhile_does_not_count(
    redis: FakeRedis, drains: Drains, registry: Registry, source: Told
) -> None:
    class Ending(Drains):
        def get(self, drain_id: str) -> Drain:
            found = super().get(drain_id)
            end(drains, found)
            return found

    over = begin_drain(drains, registry, "a")
    watcher = Watcher(redis, "a", [source], Ending(redis))
    watcher.look()
    assert drains.get(over.id).deadline is None
    watcher.look()
    [drain] = drains.live()
    assert drain.id != over.id


def test_what_comes_home_is_called_off_and_then_the_host_is_drained(
    watcher: Watcher, drains: Drains
) -> None:
    home = new_drain("a", back=True)
    drains.create(home)
    watcher.look()
    assert drains.get(home.id).cancel_requested
    end(drains, home)
    watcher.look()
    [drain] = drains.live()
    assert not drain.back


def test_a_drain_that_was_called_off_does_not_count(
    watcher: Watcher, drains: Drains, registry: Registry
) -> None:
    called_off = cancel_drain(drains, begin_drain(drains, registry, "a").id)
    watcher.look()
    assert drains.live() == [called_off]
    end(drains, called_off)
    watcher.look()
    assert len(drains.live()) == 1


def test_a_notice_of_long_ago_is_none(watcher: Watcher, drains: Drains, source: Told) -> None:
    source.notices = (notice(-LATE.total_seconds() - 1),)
    with capture_logs() as logs:
        watcher.look()
        watcher.look()
    assert len(logs) == 1
    assert not drains.recent()


@pytest.mark.parametrize("error", [SourceError("not on this cloud"), RuntimeError("a bug")])
def test_a_source_that_fails_is_told_of_once_and_stops_no_other(
    redis: FakeRedis, drains: Drains, source: Told, error: Exception
) -> None:
    broken = Told("broken")
    broken.error = error
    watcher = Watcher(redis, "a", [broken, source], drains)
    with capture_logs() as logs:
        watcher.look()
        watcher.look()
    assert len(drains.live()) == 1
    assert [line["reason"] for line in logs if line.get("source") == "broken"] == [str(error)]
    broken.error, broken.notices = None, (notice(60, "late"),)
    with capture_logs() as logs:
        watcher.look()
    assert [line["log_level"] for line in logs if line["source"] == "broken"] == ["info"]


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_from_a_cloud_to_a_drain_with_two_watchers(
    redis: FakeRedis, drains: Drains, metadata: Metadata, tmp_path: Path, cloud: str
) -> None:
    def sources() -> list[Source]:
        return open_sources(("aws", "gcp", "azure", f"file:{tmp_path}/none"), metadata.url)

    watches = [notice_watch(redis, "a", sources(), drains) for _ in range(2)]
    for watch in watches:
        watch.start()
    try:
        announce(metadata, cloud)
        [drain] = eventually(drains.live, "a drain")
    finally:
        for watch in watches:
            watch.stop()
    assert drain.reason.startswith(f"reclaim notice from {cloud}: ")
    for _ in range(2):
        Watcher(redis, "a", sources(), drains).look()
    assert [d.id for d in drains.recent()] == [drain.id]


def test_a_worker_watches_where_sources_are_set(context: Context) -> None:
    def jobs(*names: str) -> int:
        settings = Settings(redis_url="redis://127.0.0.1:1/0", host="a", notices=names)
        app = make_app(settings.redis_url, context)
        return len(_background(app, context, settings, False, lambda _: FakeRuntime()))

    assert jobs("aws", "gcp") == jobs() + 1


def announce(metadata: Metadata, cloud: str) -> None:
    """What this cloud says half a minute before."""
    until = now() + timedelta(seconds=30)
    if cloud == "aws":
        metadata.action = {"action": "terminate", "time": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    elif cloud == "gcp":
        metadata.preempted = True
    else:
        metadata.events = [azure_event(NotBefore=f"{until:%a, %d %b %Y %H:%M:%S GMT}")]
