"""Checkpoints told apart from others, and migrations that send most of it ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakeredis import FakeRedis

from runtime import CheckpointFailedError, ContainerState, RestoreFailedError
from runtime.fake_archive import read_archive
from runtime.fake_state import FakeContainer
from storage import (
    UNENCRYPTED,
    ArchiveStore,
    CheckpointManifest,
    InUse,
    Keep,
    MemoryObjectStore,
    ObjectStore,
    ParentGoneError,
    RetentionPolicy,
    new_checkpoint_id,
    prune,
)
from tasks.context import Context
from tasks.models import (
    Increment,
    Kind,
    Options,
    Outcome,
    Preseed,
    StepState,
    Unit,
    WorkerInfo,
    Workflow,
    new_workflow,
    now,
)
from tasks.registry import Registry
from tasks.retention import in_use
from tests.unit.storage.samples import noise
from tests.unit.tasks.world import World

MEMORY = 400_000
AUTO = Options(incremental=Increment.AUTO)


class Watched(MemoryObjectStore):
    """Says what was fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        self.fetched.append(key)
        return super().get(key, max_bytes=max_bytes)


@pytest.fixture
def objects() -> Watched:
    return Watched()


@pytest.fixture
def world(context: Context, objects: ObjectStore, tmp_path: Path, redis: FakeRedis) -> World:
    archives = ArchiveStore(objects, keys=UNENCRYPTED, spool=tmp_path / "spool")
    registry = Registry(redis)
    for host in ("a", "b"):
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="0", pid=1))
    return World(replace(context, archives=archives, registry=registry, full_every=3))


def start(world: World) -> FakeContainer:
    web = world.start_web()
    web.memory = noise(MEMORY)
    return web


def change(container: FakeContainer, byte: int) -> None:
    """Change one page of its memory."""
    memory = bytearray(container.memory)
    memory[5 * 4096] = byte
    container.memory = bytes(memory)


def take(world: World, options: Options = AUTO) -> Workflow:
    moment = now() + timedelta(seconds=len(manifests(world)))  # ids tell seconds only
    workflow = new_workflow(
        Kind.CHECKPOINT,
        "web",
        source="a",
        options=options,
        checkpoint_id=new_checkpoint_id("web", moment),
    )
    return world.run(workflow)


def manifests(world: World) -> list[CheckpointManifest]:
    """Oldest first."""
    return world.context.archives.checkpoints("web")[::-1]


def memory_in(world: World, manifest: CheckpointManifest) -> bytes:
    return read_archive(b"".join(world.context.archives.read_checkpoint(manifest))).container.memory


def lines(world: World, workflow: Workflow) -> list[str]:
    return [event.message for _, event in world.context.records.events(workflow.id)]


def test_only_what_changed_is_stored_and_each_can_be_read(world: World) -> None:
    web, memories = start(world), list[bytes]()
    for byte in range(4):
        change(web, byte)
        memories.append(web.memory)
        done = take(world)
        assert done.outcome is Outcome.CHECKPOINTED, done.reason
    found = manifests(world)
    assert [len(m.chain) for m in found] == [0, 1, 2, 0]
    assert [m.parent for m in found] == [None, found[0].id, found[1].id, None]
    assert [memory_in(world, m) for m in found] == memories
    assert all(m.archive.size < found[0].archive.size / 10 for m in found[1:3])
    assert "last of its chain" in "".join(lines(world, done))


def test_a_plain_checkpoint_is_whole_and_nothing_is_told_apart_from_it(world: World) -> None:
    start(world)
    take(world, Options())
    take(world)
    plain, next_one = manifests(world)
    assert (plain.pages, plain.parent) == (None, None)
    assert (next_one.pages is not None, next_one.parent) == (True, None)


def test_full_begins_a_new_chain(world: World) -> None:
    start(world)
    for kind in (Increment.AUTO, Increment.FULL, Increment.AUTO):
        take(world, Options(incremental=kind))
    first, second, third = manifests(world)
    assert [m.parent for m in (first, second, third)] == [None, None, second.id]


def test_a_base_whose_index_is_gone_means_a_full_one(world: World, objects: Watched) -> None:
    start(world)
    take(world)
    [first] = manifests(world)
    assert first.pages
    objects.delete(f"{first.pages.index.prefix}/header.json")
    done = take(world)
    assert done.outcome is Outcome.CHECKPOINTED
    assert manifests(world)[1].parent is None
    assert "must be a full one" in "".join(lines(world, done))


def test_whoever_prunes_is_told_of_the_parent_before_it_is_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(world)
    take(world)
    [parent] = manifests(world)
    archives, records = world.context.archives, world.context.records
    plainly = archives.base
    named = list[bool]()

    def base(ref: object) -> object:
        named.append(parent.id in in_use(records.live()).checkpoints)
        return plainly(ref)  # type: ignore[arg-type]

    monkeypatch.setattr(archives, "base", base)
    take(world)
    assert named == [True]
    assert parent.id not in in_use(records.live()).checkpoints


def test_a_parent_that_is_removed_meanwhile_leaves_no_checkpoint_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = start(world)
    take(world)
    [parent] = manifests(world)
    archives = world.context.archives
    publish = archives.publish

    def late(manifest: CheckpointManifest) -> None:
        archives.delete_checkpoint(parent.id)
        publish(manifest)

    monkeypatch.setattr(archives, "publish", late)
    done = take(world)
    failed = done.failed_step
    assert failed is not None
    assert failed.error is not None
    assert failed.error.type == ParentGoneError.__name__
    assert manifests(world) == []
    assert web.state is ContainerState.RUNNING


def test_pruning_keeps_what_the_newest_needs(world: World) -> None:
    web = start(world)
    for byte in range(3):
        change(web, byte)
        take(world)
    prune(
        world.context.archives,
        lambda _: RetentionPolicy(keep=Keep(last=1)),
        InUse,
        now=now() + timedelta(days=2),
    )
    assert memory_in(world, manifests(world)[-1]) == web.memory


def preseeded(world: World, preseed: Preseed = Preseed.ON) -> Workflow:
    return world.migrate(Options(preseed=preseed))


def test_a_migration_that_sends_ahead_arrives_whole(
    world: World, objects: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = start(world)
    memory = web.memory
    restore = world.hosts["b"].restore
    base = list[str]()

    def watched(*args: object, **kwargs: object) -> str:
        [first] = base_of(world.context.records.recent()[0])
        base.append(first)
        objects.fetched.clear()
        return restore(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(world.hosts["b"], "restore", watched)
    moved = preseeded(world)
    assert moved.outcome is Outcome.MOVED, moved.reason
    there = world.on("b")
    assert there is not None
    assert there.memory == memory
    assert objects.fetched
    assert not any(key.startswith(f"{base[0]}/parts") for key in objects.fetched)
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    manifest = world.context.archives.manifest(moved.checkpoint_id)
    assert manifest.archive.size < manifest.chain[0].size / 10
    assert memory_in(world, manifest) == memory
    assert {i.key.split("/")[3] for i in objects.list(f"checkpoints/{manifest.id}/")} == {
        "manifest.json",
        *(a.prefix.rpartition("/")[2] for a in (manifest.archive, *manifest.chain)),
    }


def base_of(workflow: Workflow) -> list[str]:
    sent = workflow.done(Unit.PRESEED)
    assert sent is not None
    bases = sent.result["bases"]
    assert isinstance(bases, dict)
    return [ref["chain"][0]["prefix"] for ref in bases.values()]  # type: ignore[index, call-overload, misc]


def test_what_was_sent_ahead_is_never_a_checkpoint(world: World) -> None:
    web = start(world)
    world.hosts["a"].faults["update_restart_policy"] = [CheckpointFailedError("web", "no")]
    ended = preseeded(world)
    assert ended.outcome is Outcome.RESUMED, ended.reason
    assert manifests(world) == []
    assert web.state is ContainerState.RUNNING
    report = prune(
        world.context.archives,
        lambda _: RetentionPolicy(),
        lambda: in_use(world.context.records.live()),
        now=now() + timedelta(days=2),
    )
    assert [entry.kind for entry in report.removed] == ["upload", "image"]
    assert list(world.context.archives.objects.list("checkpoints/")) == []


def test_a_failure_ahead_leaves_the_source_as_it_was(world: World) -> None:
    web = start(world)
    memory = web.memory
    world.hosts["a"].faults["checkpoint"] = [CheckpointFailedError("web", "no")]
    ended = preseeded(world)
    assert ended.outcome is Outcome.UNTOUCHED
    assert (web.state, web.memory) == (ContainerState.RUNNING, memory)


def test_a_failed_restore_starts_cold_from_the_rebuilt_archive(world: World) -> None:
    start(world)
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no")]
    ended = preseeded(world)
    assert ended.outcome is Outcome.COLD, ended.reason
    assert world.hosts["b"].volumes["data"].files["log"] == b"line"


def test_a_target_without_room_reads_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = start(world)
    memory = web.memory

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.context.archives, "prefetch", full)
    moved = preseeded(world)
    assert moved.outcome is Outcome.MOVED, moved.reason
    assert "will read from the store" in "".join(lines(world, moved))
    there = world.on("b")
    assert there is not None
    assert there.memory == memory


@pytest.mark.parametrize(("rate", "ahead"), [(None, False), (1e6, True), (1e9, False)])
def test_by_itself_it_sends_ahead_where_the_link_is_slow(
    world: World, rate: float | None, ahead: bool
) -> None:
    web = start(world)
    web.facts["memory_bytes"] = 100 << 20
    registry = world.context.registry
    assert registry
    if rate:
        registry.report_rate("a", rate)
    moved = preseeded(world, Preseed.AUTO)
    assert moved.outcome is Outcome.MOVED, moved.reason
    sent = moved.done(Unit.PRESEED)
    assert sent is not None
    assert ("bases" in sent.result) is ahead
    assert bool(world.context.archives.manifest(moved.checkpoint_id).chain) is ahead
    assert ("reason" in sent.result) is not ahead


def test_how_fast_a_host_sends_is_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.units.bases.TELLING_BYTES", MEMORY)
    registry = world.context.registry
    assert registry
    start(world)
    assert registry.rate("a") is None
    take(world)
    rate = registry.rate("a")
    assert rate is not None
    assert rate > 0
    registry.report_rate("a", 1.0)
    take(world)  # an incremental one reads more than it sends
    assert registry.rate("a") == 1.0


def test_without_being_asked_nothing_is_sent_ahead(world: World) -> None:
    start(world)
    moved = world.migrate()
    assert all(step.unit not in {Unit.PRESEED, Unit.PREFETCH} for step in moved.steps)
    assert all(step.state is StepState.DONE for step in moved.steps)
