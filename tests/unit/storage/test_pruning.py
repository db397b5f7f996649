"""What pruning takes, what it leaves, and that those who race with it lose nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from storage import (
    UNENCRYPTED,
    ArchiveStore,
    CheckpointManifest,
    GroupManifest,
    InUse,
    Keep,
    ObjectInfo,
    Pins,
    PruneReport,
    Reason,
    RetentionPolicy,
    new_checkpoint_id,
    prune,
)
from tests.unit.storage.samples import (
    NOON,
    AgedObjectStore,
    manifest_of,
    store_checkpoint,
    store_group,
)

DAY = timedelta(days=1)
OLD = timedelta(hours=25)
LAST = RetentionPolicy(keep=Keep(last=1))
ALL = RetentionPolicy()
IMAGE = "a" * 64  # the image of the sample manifests
OTHER = "b" * 64


class Store:
    """An archive store whose objects can be aged, and what workflows name."""

    def __init__(self) -> None:
        self.objects = AgedObjectStore()
        self.archives = ArchiveStore(self.objects, keys=UNENCRYPTED)
        self.in_use = InUse()

    def checkpoint(self, days_old: float, workload: str = "web") -> CheckpointManifest:
        return store_checkpoint(self.archives, workload, created=NOON - days_old * DAY)

    def group(self, days_old: float) -> GroupManifest:
        return store_group(
            self.archives, "shop", "db", "web", created=NOON - timedelta(days=days_old)
        )

    def dead_upload(self, workload: str = "web") -> str:
        """Parts of a checkpoint without a manifest; by now old."""
        checkpoint_id = new_checkpoint_id(workload, NOON - OLD)
        self.archives.write(f"checkpoints/{checkpoint_id}", [b"parts"])
        self.objects.ages[f"checkpoints/{checkpoint_id}"] = OLD
        return checkpoint_id

    def image(self, image_id: str = OTHER) -> str:
        """An image; by now old."""
        self.archives.write_image(image_id, ["web"], [b"layers"])
        self.objects.ages[f"images/{image_id}"] = OLD
        return image_id

    def prune(
        self,
        policy: RetentionPolicy = ALL,
        *,
        dry_run: bool = False,
        in_use: Callable[[], InUse] | None = None,
    ) -> PruneReport:
        return prune(
            self.archives,
            lambda _: policy,
            in_use or (lambda: self.in_use),
            now=NOON,
            dry_run=dry_run,
        )

    def stored(self) -> set[str]:
        return {info.key for info in self.objects.list("")}


@pytest.fixture
def store() -> Store:
    return Store()


def removed(report: PruneReport) -> set[tuple[str, str, Reason]]:
    return {(str(entry.kind), entry.id, entry.reason) for entry in report.removed}


def test_what_the_policy_does_not_keep_goes_whole(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    new, old = store.checkpoint(0), store.checkpoint(1)
    with caplog.at_level(logging.INFO):
        report = store.prune(LAST)
    assert removed(report) == {("checkpoint", old.id, Reason.EXPIRED)}
    assert [(entry.id, entry.reason) for entry in report.kept] == [(new.id, Reason.NEWEST)]
    assert report.freed_bytes == report.removed[0].bytes > old.archive.size  # and its manifest
    assert store.archives.checkpoints() == [new]
    assert all(key.startswith(f"checkpoints/{new.id}/") for key in store.stored())
    assert old.id in caplog.text


def test_a_dry_run_says_the_same_and_touches_nothing(store: Store) -> None:
    store.checkpoint(0)
    store.checkpoint(1)
    store.dead_upload()
    store.image()
    before = store.stored()
    rehearsed = store.prune(LAST, dry_run=True)
    assert store.stored() == before
    done = store.prune(LAST)
    assert rehearsed.dry_run
    assert rehearsed.removed == done.removed
    assert rehearsed.freed_bytes == done.freed_bytes > 0
    assert store.prune(LAST).removed == ()


def test_pinned_and_named_ones_stay(store: Store) -> None:
    store.checkpoint(0)
    pinned, named, loose = (store.checkpoint(age) for age in (3, 2, 1))
    Pins(store.objects).set(pinned.id, reason="", now=NOON)
    store.in_use = InUse(checkpoints=frozenset({named.id}))
    report = store.prune(LAST)
    assert {entry.id for entry in report.removed} == {loose.id}
    assert {e.reason for e in report.kept} == {Reason.NEWEST, Reason.PINNED, Reason.PROTECTED}


def test_one_that_a_workflow_names_meanwhile_is_left(store: Store) -> None:
    store.checkpoint(0)
    named = store.checkpoint(1)
    answers = iter([InUse(), InUse(checkpoints=frozenset({named.id}))])
    report = store.prune(LAST, in_use=lambda: next(answers))
    assert report.removed == ()
    assert [entry.id for entry in report.left] == [named.id]
    assert store.archives.manifest(named.id) == named


def test_one_that_is_pinned_meanwhile_is_left(store: Store) -> None:
    store.checkpoint(0)
    victim = store.checkpoint(1)
    asked: list[InUse] = []

    def pins_at_the_second_question() -> InUse:
        asked.append(InUse())
        if len(asked) == 2:
            Pins(store.objects).set(victim.id, reason="", now=NOON)
        return asked[-1]

    report = store.prune(LAST, in_use=pins_at_the_second_question)
    assert [entry.id for entry in report.left] == [victim.id]
    assert store.archives.manifest(victim.id) == victim


def test_a_dead_upload_goes_and_one_under_way_stays(store: Store) -> None:
    dead, named = store.dead_upload(), store.dead_upload()
    fresh = new_checkpoint_id("web", NOON)
    store.archives.write(f"checkpoints/{fresh}", [b"parts"])
    store.in_use = InUse(checkpoints=frozenset({named}))
    report = store.prune()
    assert removed(report) == {("upload", f"checkpoints/{dead}", Reason.ORPHAN)}
    assert {key.split("/")[2] for key in store.stored()} == {
        checkpoint_id.partition("/")[2] for checkpoint_id in (fresh, named)
    }


def test_one_new_part_shows_that_an_old_upload_lives(store: Store) -> None:
    slow = store.dead_upload()
    store.objects.ages = {f"checkpoints/{slow}/parts/000000": OLD}
    store.objects.put(f"checkpoints/{slow}/parts/000001", b"just now")
    assert store.prune().removed == ()


def test_a_writer_that_publishes_meanwhile_loses_nothing(store: Store) -> None:
    checkpoint_id = new_checkpoint_id("web", NOON - OLD)
    archive = store.archives.write(f"checkpoints/{checkpoint_id}", [b"parts"])
    store.objects.ages[f"checkpoints/{checkpoint_id}"] = OLD
    asked: list[InUse] = []

    def publishes_at_the_second_question() -> InUse:
        asked.append(InUse())
        if len(asked) == 2:
            store.archives.publish(manifest_of(archive, checkpoint_id))
        return asked[-1]

    report = store.prune(in_use=publishes_at_the_second_question)
    assert [entry.id for entry in report.left] == [f"checkpoints/{checkpoint_id}"]
    assert b"".join(store.archives.read(archive)) == b"parts"


def test_an_image_goes_with_the_last_checkpoint_taken_from_it(store: Store) -> None:
    store.checkpoint(0)
    needed, unneeded = store.image(IMAGE), store.image(OTHER)
    assert removed(store.prune()) == {("image", unneeded, Reason.ORPHAN)}
    assert store.archives.image(needed) is not None
    assert store.archives.image(unneeded) is None
    assert not [key for key in store.stored() if OTHER in key]


def test_an_image_of_a_removed_checkpoint_goes_in_the_same_run(store: Store) -> None:
    store.image(IMAGE)
    old = store.checkpoint(5)
    new_id = new_checkpoint_id("web", NOON)
    archive = store.archives.write(f"checkpoints/{new_id}", [b"state"])
    manifest = manifest_of(archive, new_id)
    image = manifest.image.model_copy(update={"id": OTHER})
    store.archives.publish(manifest.model_copy(update={"image": image}))
    assert removed(store.prune(LAST)) == {
        ("checkpoint", old.id, Reason.EXPIRED),
        ("image", IMAGE, Reason.ORPHAN),
    }


def test_an_image_that_a_workflow_carries_or_that_is_new_stays(store: Store) -> None:
    store.image(OTHER)
    store.in_use = InUse(images=frozenset({OTHER}))
    store.archives.write_image(IMAGE, ["new"], [b"layers"])
    assert store.prune().removed == ()


def test_an_image_of_a_checkpoint_published_meanwhile_stays(store: Store) -> None:
    store.image(IMAGE)
    asked: list[InUse] = []

    def publishes_at_the_second_question() -> InUse:
        asked.append(InUse())
        if len(asked) == 2:
            store.checkpoint(0)
        return asked[-1]

    report = store.prune(in_use=publishes_at_the_second_question)
    assert [entry.id for entry in report.left] == [IMAGE]
    assert store.archives.image(IMAGE) is not None


def test_no_image_goes_while_a_manifest_cannot_be_read(store: Store) -> None:
    store.image(OTHER)
    broken = store.checkpoint(9)
    store.objects.put(f"checkpoints/{broken.id}/manifest.json", b'{"version": 99}')
    store.objects.ages[f"checkpoints/{broken.id}"] = OLD
    store.checkpoint(0)
    report = store.prune(LAST)
    assert report.removed == ()
    assert Reason.UNREADABLE in {entry.reason for entry in report.kept}


def test_image_uploads_that_lost_or_died_go(store: Store) -> None:
    store.checkpoint(0)
    store.image(IMAGE)
    lost = f"images/{IMAGE}/{'0' * 16}"
    store.archives.write(lost, [b"layers"])
    store.archives.write(f"images/{OTHER}/{'1' * 16}", [b"layers"])
    store.objects.ages[f"images/{OTHER}"] = OLD
    assert removed(store.prune()) == {
        ("upload", lost, Reason.ORPHAN),
        ("upload", f"images/{OTHER}", Reason.ORPHAN),
    }
    image = store.archives.image(IMAGE)
    assert image is not None
    assert b"".join(store.archives.read(image.archive)) == b"layers"


def test_an_earlier_try_beside_a_published_checkpoint_goes(store: Store) -> None:
    checkpoint_id = new_checkpoint_id("web", NOON - OLD)
    path = f"checkpoints/{checkpoint_id}"
    died, archive = (store.archives.write(f"{path}/{n * 16}", [b"parts"]) for n in "01")
    store.archives.publish(manifest_of(archive, checkpoint_id))
    store.objects.ages[path] = OLD
    store.in_use = InUse(checkpoints=frozenset({checkpoint_id}))
    assert store.prune().removed == ()
    store.in_use = InUse()
    assert removed(store.prune()) == {("upload", died.prefix, Reason.ORPHAN)}
    assert b"".join(store.archives.read(archive)) == b"parts"


def test_contexts_and_probes_that_were_forgotten_go(store: Store) -> None:
    for workflow in ("build-1", "build-2"):
        store.archives.write(f"contexts/{workflow}", [b"context"])
    store.objects.put("probe-0123", b"probe")
    store.objects.put("somebody/elses", b"object")
    store.objects.ages = {"": OLD}
    store.in_use = InUse(workflows=frozenset({"build-2"}))
    assert removed(store.prune()) == {
        ("context", "build-1", Reason.ORPHAN),
        ("probe", "probe-0123", Reason.ORPHAN),
    }
    left = store.stored() - {"somebody/elses"}
    assert left
    assert all(key.startswith("contexts/build-2/") for key in left)


def test_a_removal_that_is_killed_leaves_an_orphan_for_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.checkpoint(0)
    old = store.checkpoint(1)
    deleted: list[str] = []

    def killed_after_one(key: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(key)
        AgedObjectStore.delete(store.objects, key)

    with monkeypatch.context() as patched:
        patched.setattr(store.objects, "delete", killed_after_one)
        with pytest.raises(KeyboardInterrupt):
            store.prune(LAST)
    assert deleted == [f"checkpoints/{old.id}/manifest.json"]
    store.objects.ages[f"checkpoints/{old.id}"] = OLD
    assert removed(store.prune(LAST)) == {("upload", f"checkpoints/{old.id}", Reason.ORPHAN)}
    assert not [key for key in store.stored() if old.id in key]


def test_another_who_prunes_at_the_same_time_does_no_harm(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = store.checkpoint(0)
    store.checkpoint(1)
    listed = AgedObjectStore.list
    rivals: list[PruneReport] = []

    def list_after_a_rival(prefix: str) -> list[ObjectInfo]:
        found = list(listed(store.objects, prefix))
        if not rivals and prefix == "probe-":  # the survey's last listing
            monkeypatch.undo()
            rivals.append(store.prune(LAST))
        return found

    monkeypatch.setattr(store.objects, "list", list_after_a_rival)
    store.prune(LAST)
    assert len(rivals[0].removed) == 1
    assert store.archives.checkpoints() == [new]


def test_a_group_goes_before_its_members(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = store.group(0), store.group(1)
    deleted: list[str] = []

    def noted(key: str) -> None:
        deleted.append(key)
        AgedObjectStore.delete(store.objects, key)

    monkeypatch.setattr(store.objects, "delete", noted)
    report = store.prune(LAST)
    assert removed(report) == {
        ("group", old.id, Reason.EXPIRED),
        *(("checkpoint", member, Reason.EXPIRED) for member in old.members),
    }
    assert deleted[0] == f"groups/{old.id}/manifest.json"
    assert store.archives.groups() == [new]
    assert not [key for key in store.stored() if key.split("/")[2] == old.id.split("/")[1]]


def test_a_pinned_group_keeps_its_members(store: Store) -> None:
    store.group(0)
    old = store.group(1)
    Pins(store.objects, groups=True).set(old.id, reason="", now=NOON)
    report = store.prune(LAST)
    assert report.removed == ()
    assert {e.id for e in report.kept if e.reason is Reason.GROUP} == set(old.members)


def test_a_group_that_cannot_be_read_keeps_what_is_of_its_moment(store: Store) -> None:
    broken = store.group(1)
    store.objects.put(f"groups/{broken.id}/manifest.json", b"{}")
    store.group(0)
    report = store.prune(LAST)
    assert report.removed == ()
    assert {e.id for e in report.kept if e.reason is Reason.GROUP} == set(broken.members)


def test_what_became_a_part_of_a_group_meanwhile_is_left(store: Store) -> None:
    store.group(0)
    late = store.group(1)
    store.archives.delete_group(late.id)
    asked: list[InUse] = []

    def publishes_at_the_second_question() -> InUse:
        asked.append(InUse())
        if len(asked) == 2:
            store.archives.publish_group(late)
        return asked[-1]

    report = store.prune(LAST, in_use=publishes_at_the_second_question)
    assert report.removed == ()
    assert {entry.id for entry in report.left} == set(late.members)


def test_the_members_of_a_group_that_is_left_are_left_too(store: Store) -> None:
    store.group(0)
    old = store.group(1)
    asked: list[InUse] = []

    def pins_at_the_second_question() -> InUse:
        asked.append(InUse())
        if len(asked) == 2:
            Pins(store.objects, groups=True).set(old.id, reason="", now=NOON)
        return asked[-1]

    report = store.prune(LAST, in_use=pins_at_the_second_question)
    assert report.removed == ()
    assert {entry.id for entry in report.left} == {old.id, *old.members}
