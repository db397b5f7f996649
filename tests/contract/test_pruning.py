"""Pruning and pins, whatever object store lies below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage import (
    UNENCRYPTED,
    ArchiveStore,
    InUse,
    Keep,
    ObjectStore,
    Pins,
    RetentionPolicy,
    StoredKind,
    new_checkpoint_id,
    prune,
)
from tests.unit.storage.samples import NOON, store_checkpoint

pytestmark = pytest.mark.contract
HOUR = timedelta(hours=1)


def test_pruning_leaves_what_is_kept_and_nothing_else(objects: ObjectStore) -> None:
    archives = ArchiveStore(objects, keys=UNENCRYPTED)
    new, pinned, old = (store_checkpoint(archives, created=NOON - n * HOUR) for n in range(3))
    Pins(objects).set(pinned.id, reason="", now=NOON)
    needed = archives.write_image(new.image.id, ["redis"], [b"layers"])
    archives.write_image("b" * 64, ["web"], [b"layers"])
    dead = new_checkpoint_id("web", NOON)
    archives.write(f"checkpoints/{dead}", [b"parts"])
    archives.write("contexts/build-1", [b"context"])

    report = prune(
        archives,
        lambda _: RetentionPolicy(keep=Keep(last=1)),
        InUse,
        now=datetime.now(UTC) + 2 * HOUR,  # the clocks of the store and of this machine differ
        grace=HOUR,
    )

    assert {(entry.kind, entry.id) for entry in report.removed} == {
        (StoredKind.CHECKPOINT, old.id),
        (StoredKind.UPLOAD, f"checkpoints/{dead}"),
        (StoredKind.IMAGE, "b" * 64),
        (StoredKind.CONTEXT, "build-1"),
    }
    assert archives.checkpoints() == [new, pinned]
    assert b"".join(archives.read(pinned.archive)) == b"state"
    assert b"".join(archives.read(needed.archive)) == b"layers"
    roots = [f"checkpoints/{i}/" for i in (new.id, pinned.id)]
    roots.append(f"images/{new.image.id.removeprefix('sha256:')}/")
    assert {i.key for i in objects.list("") if not i.key.startswith(tuple(roots))} == set()
