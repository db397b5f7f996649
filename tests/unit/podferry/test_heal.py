from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakeredis import FakeRedis

from podferry import Client, FenceFailedError, Healing, HealState, NotFencedError, Settings
from podferry import client as clients
from podferry.cli.heal import age, exit_code
from runtime import RunSpec
from storage import (
    UNENCRYPTED,
    ArchiveStore,
    CheckpointManifest,
    ImageRef,
    MemoryObjectStore,
    new_archive_prefix,
)
from tasks import locate
from tasks.errors import InvalidRequestError
from tasks.evictions import Eviction, Meaning
from tasks.models import Inventory, Outcome, Parts, WorkerInfo, WorkloadLine, now
from tasks.records import Records
from tasks.registry import Registry

CHECKPOINT = "web/20260101T000000Z-000000"


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRedis]:
    """A dead host a where web ran, a host b, and a control worker."""
    client = FakeRedis(protocol=2)
    monkeypatch.setattr(clients, "connect", lambda _: client)
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    registry = Registry(client)
    for host in "ab":
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1, control=True))
    line = WorkloadLine(name="web", id="1" * 64, image="web", state="running")
    registry.report(Inventory(host="a", containers=(line,)))
    registry.report(Inventory(host="b"))
    client.delete("podferry:alive:host.a")
    yield client
    client.close()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ArchiveStore:
    """A store with a checkpoint of web."""
    store = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
    archive = store.write(new_archive_prefix(f"checkpoints/{CHECKPOINT}"), [b"tar"])
    store.publish(
        CheckpointManifest(
            id=CHECKPOINT,
            workload="web",
            created=now(),
            host="a",
            container_id="1" * 64,
            image=ImageRef(name="web", id="2" * 64, archived=False),
            spec=RunSpec(name="web", image="web").model_dump(mode="json"),
            archive=archive,
        )
    )
    monkeypatch.setattr(Settings, "archives", lambda _: store)
    return store


def client(fence_command: str = "") -> Client:
    return Client(Settings(redis_url="redis://x", fence_command=fence_command))


@pytest.mark.usefixtures("redis", "store")
def test_a_second_sign_that_the_host_is_off_is_asked_for() -> None:
    with pytest.raises(NotFencedError) as refused:
        client().heal("a")
    assert "PODFERRY_FENCE_COMMAND" in str(refused.value)
    assert "podferry heal a --fenced" in str(refused.value)


@pytest.mark.usefixtures("store")
def test_a_dry_run_changes_nothing(redis: FakeRedis) -> None:
    before = sorted(redis.keys())
    (item,) = client().heal("a", dry_run=True)
    assert (item.state, item.target, item.checkpoint_id) == (HealState.PLANNED, "b", CHECKPOINT)
    assert sorted(redis.keys()) == before


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("command", "fenced"), [("", True), ("true", False)])
def test_a_host_that_is_off_is_healed(redis: FakeRedis, command: str, fenced: bool) -> None:
    (item,) = client(command).heal("a", fenced=fenced)
    assert item.state is HealState.BEGUN
    workflow = Records(redis).get(item.workflow_id)
    assert (workflow.source, workflow.target) == ("a", "b")
    assert workflow.options.heal
    assert workflow.options.ignore_static_ip


@pytest.mark.usefixtures("store")
def test_a_fence_that_fails_heals_nothing(redis: FakeRedis) -> None:
    with pytest.raises(FenceFailedError):
        client("false").heal("a")
    assert Records(redis).live() == []
    assert Records(redis).evictions.of("a") == []


@pytest.mark.usefixtures("redis", "store")
def test_where_nothing_can_be_healed_nothing_is_fenced(tmp_path: Path, redis: FakeRedis) -> None:
    Registry(redis).report(Inventory(host="a"))
    fenced = tmp_path / "a"
    assert client(f"touch {tmp_path}/").heal("a") == ()
    assert not fenced.exists()


def test_an_old_copy_is_released(redis: FakeRedis) -> None:
    stop = Eviction(meaning=Meaning.STOP, workload="web", workflow="w", parts=Parts())
    Records(redis).evictions.put("a", stop)
    client().release("a", "web")
    assert Records(redis).evictions.of("a") == []
    with pytest.raises(InvalidRequestError, match="no old copy of"):
        client().release("a", "web")


def item(outcome: Outcome | None, state: HealState = HealState.ENDED) -> Healing:
    return Healing(workload="web", state=state, outcome=outcome)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ((), 0),
        ((item(Outcome.RESTORED), item(None, HealState.SAFE)), 0),
        ((item(Outcome.RESTORED), item(Outcome.COLD)), 3),
        ((item(Outcome.COLD), item(Outcome.FAILED)), 1),
        ((item(None, HealState.SKIPPED),), 1),
    ],
)
def test_the_exit_code_tells_the_worst(found: tuple[Healing, ...], code: int) -> None:
    assert exit_code(found) == code


@pytest.mark.parametrize(
    ("back", "said"),
    [
        (timedelta(seconds=20), "20 s"),
        (timedelta(minutes=20), "20 min"),
        (timedelta(hours=20), "20 h"),
        (timedelta(days=20), "20 d"),
    ],
)
def test_a_checkpoint_has_an_age(back: timedelta, said: str) -> None:
    assert age(Healing(workload="web", taken=now() - back)) == said
    assert age(Healing(workload="web")) == "-"
