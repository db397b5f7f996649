"""Retention with real records: what workflows name stays, labels rule, rm refuses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from fakeredis import FakeRedis
from pydantic import JsonValue

from storage import (
    ORPHAN_GRACE,
    UNENCRYPTED,
    ArchiveStore,
    CheckpointManifest,
    CheckpointNotFoundError,
    Keep,
    MemoryObjectStore,
    Pins,
    PruneReport,
    Reason,
    RetentionPolicy,
)
from tasks.context import Context
from tasks.errors import CheckpointNeededError
from tasks.models import Kind, Outcome, Workflow, new_workflow, now
from tasks.plans import end
from tasks.records import Records
from tasks.retention import in_use, remove_checkpoints, run_retention
from tasks.turns import take_turn
from tests.unit.storage.samples import manifest_of, store_checkpoint, store_group
from tests.unit.tasks.world import World

DAY = timedelta(days=1)
LAST = RetentionPolicy(keep=Keep(last=1))


@pytest.fixture
def archives() -> ArchiveStore:
    return ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)


def checkpoint(
    archives: ArchiveStore,
    days_old: int,
    workload: str = "web",
    labels: dict[str, JsonValue] | None = None,
) -> CheckpointManifest:
    manifest = store_checkpoint(archives, workload, created=now() - days_old * DAY)
    if labels:
        spec = {**manifest.spec, "labels": {f"podferry.{k}": v for k, v in labels.items()}}
        archives.objects.delete(f"checkpoints/{manifest.id}/manifest.json")
        manifest = manifest.model_copy(update={"spec": spec})
        archives.publish(manifest)
    return manifest


def live(records: Records, kind: Kind, workload: str, checkpoint_id: str) -> Workflow:
    workflow = new_workflow(kind, workload, source="a", target="b", checkpoint_id=checkpoint_id)
    records.create(workflow)
    return workflow


def run(archives: ArchiveStore, records: Records, policy: RetentionPolicy = LAST) -> PruneReport:
    return run_retention(archives, records, policy, grace=ORPHAN_GRACE)


def test_live_workflows_are_those_that_have_not_ended(records: Records) -> None:
    assert records.live() == []
    first = live(records, Kind.RESTORE, "web", "web/1")
    second = live(records, Kind.CHECKPOINT, "db:*", "db/1")
    assert {w.id for w in records.live()} == {first.id, second.id}
    records.update(first.id, lambda w: end(w, Outcome.RESTORED))
    assert [w.id for w in records.live()] == [second.id]


def test_what_a_workflow_names_stays_until_its_end(
    archives: ArchiveStore, records: Records
) -> None:
    checkpoint(archives, 0)
    named = checkpoint(archives, 5)
    workflow = live(records, Kind.RESTORE, "web", named.id)
    assert run(archives, records).removed == ()
    records.update(workflow.id, lambda w: end(w, Outcome.RESTORED))
    assert [entry.id for entry in run(archives, records).removed] == [named.id]


def test_the_image_that_a_workflow_carries_is_in_use(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(context=context)
    world.start_web()
    seen: list[frozenset[str]] = []
    load_image = world.hosts["b"].load_image

    def look(chunks: Iterable[bytes]) -> None:
        seen.append(in_use(context.records.live()).images)
        load_image(chunks)

    monkeypatch.setattr(world.hosts["b"], "load_image", look)
    assert world.migrate().outcome is Outcome.MOVED
    assert seen == [frozenset({"1" * 64})]
    assert in_use(context.records.live()).images == frozenset()


def test_labels_rule_their_workload(archives: ArchiveStore, records: Records) -> None:
    for age in range(3):
        checkpoint(archives, age, "web", {"keep-last": "2"})
        checkpoint(archives, age, "db", {"keep-within": "36h"})
        checkpoint(archives, age, "other")
    removed = [entry.id.partition("/")[0] for entry in run(archives, records).removed]
    assert sorted(removed) == ["db", "other", "other", "web"]


@pytest.mark.parametrize(
    "labels", [{"keep-last": "many"}, {"keep-within": "7"}, {"keep-last": "0"}]
)
def test_labels_that_make_no_sense_keep_everything(
    archives: ArchiveStore, records: Records, labels: dict[str, JsonValue]
) -> None:
    checkpoint(archives, 0, "web", labels)
    checkpoint(archives, 1, "web", labels)
    assert run(archives, records).removed == ()


def test_only_the_newest_checkpoint_tells_the_labels(
    archives: ArchiveStore, records: Records
) -> None:
    checkpoint(archives, 0)
    checkpoint(archives, 1, "web", {"keep-last": "5"})
    assert len(run(archives, records).removed) == 1


def test_one_turn_per_interval(redis: FakeRedis) -> None:
    assert take_turn(redis, "x", timedelta(hours=1))
    assert not take_turn(redis, "x", timedelta(hours=1))
    redis.flushall()
    assert take_turn(redis, "x", timedelta(hours=1))


def test_rm_removes_the_newest_too(archives: ArchiveStore, records: Records) -> None:
    kept, victim = checkpoint(archives, 1), checkpoint(archives, 0)
    remove_checkpoints(archives, records, [victim.id, victim.id])
    assert archives.checkpoints() == [kept]


def test_rm_refuses_all_when_one_is_unknown(archives: ArchiveStore, records: Records) -> None:
    known = checkpoint(archives, 0)
    with pytest.raises(CheckpointNotFoundError):
        remove_checkpoints(archives, records, [known.id, "web/20260101T000000Z-000000"])
    with pytest.raises(CheckpointNotFoundError):
        remove_checkpoints(archives, records, ["web"])
    assert archives.checkpoints() == [known]


def test_rm_refuses_what_is_pinned(archives: ArchiveStore, records: Records) -> None:
    pinned = checkpoint(archives, 0)
    Pins(archives.objects).set(pinned.id, reason="audit", now=now())
    with pytest.raises(CheckpointNeededError, match=r"pinned \(audit\).*checkpoints unpin web/"):
        remove_checkpoints(archives, records, [pinned.id])
    assert archives.checkpoints() == [pinned]


def test_rm_refuses_what_a_workflow_names_or_may_build_on(
    archives: ArchiveStore, records: Records
) -> None:
    newest, middle, oldest = (checkpoint(archives, age) for age in range(3))
    workflow = live(records, Kind.RESTORE, "web", oldest.id)
    for needed in (oldest, newest):
        with pytest.raises(CheckpointNeededError, match=f"podferry status {workflow.id}"):
            remove_checkpoints(archives, records, [needed.id])
    remove_checkpoints(archives, records, [middle.id])
    assert archives.checkpoints() == [newest, oldest]


def test_rm_takes_what_cannot_be_read(archives: ArchiveStore, records: Records) -> None:
    broken = checkpoint(archives, 0)
    archives.objects.put(f"checkpoints/{broken.id}/manifest.json", b"{}")
    remove_checkpoints(archives, records, [broken.id])
    assert not archives.has_checkpoint(broken.id)


def test_the_parts_of_a_checkpoint_under_way_are_no_orphans(
    archives: ArchiveStore, records: Records
) -> None:
    checkpoint_id = "web/20260101T000000Z-000000"
    archive = archives.write(f"checkpoints/{checkpoint_id}", [b"parts"])
    live(records, Kind.CHECKPOINT, "web", checkpoint_id)
    report = run_retention(archives, records, LAST, grace=timedelta(microseconds=1))
    assert report.removed == ()
    archives.publish(manifest_of(archive, checkpoint_id))
    assert [entry.reason for entry in run(archives, records).kept] == [Reason.PROTECTED]


def test_rm_takes_a_group_with_its_members_or_not_at_all(
    archives: ArchiveStore, records: Records
) -> None:
    new = store_group(archives, "shop", "db", "web", created=now())
    old = store_group(archives, "shop", "db", "web", created=now() - DAY)
    with pytest.raises(CheckpointNeededError, match=f"podferry checkpoints rm {old.id}"):
        remove_checkpoints(archives, records, [old.members[0]])
    Pins(archives.objects, groups=True).set(old.id, reason="", now=now())
    with pytest.raises(CheckpointNeededError, match=f"podferry checkpoints unpin {old.id}"):
        remove_checkpoints(archives, records, [old.id])
    Pins(archives.objects, groups=True).remove(old.id)
    Pins(archives.objects).set(old.members[1], reason="", now=now())
    with pytest.raises(CheckpointNeededError, match=f"unpin {old.members[1]}"):
        remove_checkpoints(archives, records, [old.id])
    Pins(archives.objects).remove(old.members[1])
    remove_checkpoints(archives, records, [old.id])
    assert archives.groups() == [new]
    assert {m.id for m in archives.checkpoints()} == set(new.members)


def test_rm_takes_a_group_that_cannot_be_read_and_then_its_members(
    archives: ArchiveStore, records: Records
) -> None:
    broken = store_group(archives, "shop", "db", created=now())
    archives.objects.put(f"groups/{broken.id}/manifest.json", b"{}")
    remove_checkpoints(archives, records, [broken.id])
    assert archives.has_checkpoint(broken.members[0])
    remove_checkpoints(archives, records, broken.members)
    assert list(archives.objects.list("")) == []


def test_rm_refuses_a_group_that_a_workflow_restores(
    archives: ArchiveStore, records: Records
) -> None:
    group = store_group(archives, "shop", "db", created=now())
    workflow = live(records, Kind.RESTORE, "shop", group.id)
    with pytest.raises(CheckpointNeededError, match=f"podferry status {workflow.id}"):
        remove_checkpoints(archives, records, [group.id])
    assert archives.groups() == [group]
