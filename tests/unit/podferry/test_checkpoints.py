"""``Client.checkpoints`` over a store in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakeredis import FakeRedis

from podferry.checkpoints import Checkpoints
from runtime import NotACheckpointError, RunSpec
from storage import (
    UNENCRYPTED,
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointNotFoundError,
    Keep,
    MemoryObjectStore,
    RetentionPolicy,
)
from tasks.errors import CheckpointNeededError, InvalidRequestError
from tasks.models import now
from tasks.records import Records
from tests.unit.runtime.test_exported import CONFIG, tar
from tests.unit.storage.samples import noise, store_checkpoint, store_group
from workers.settings import Settings

RAW = noise(300_000)
MISSING = "web/20260101T000000Z-000000"


@pytest.fixture
def archives() -> ArchiveStore:
    return ArchiveStore(MemoryObjectStore(), part_bytes=100_000, keys=UNENCRYPTED)


@pytest.fixture
def checkpoints(archives: ArchiveStore) -> Iterator[Checkpoints]:
    redis = FakeRedis(protocol=2)
    yield Checkpoints(archives, Records(redis), Settings(retention_keep_last=2))
    redis.close()


def damage(archives: ArchiveStore, checkpoint_id: str) -> None:
    key = max(
        i.key for i in archives.objects.list(f"checkpoints/{checkpoint_id}/") if "/parts/" in i.key
    )
    data = bytearray(archives.objects.get(key))
    data[len(data) // 2] ^= 1
    archives.objects.put(key, data)


def export_file(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))


def test_verify_reads_all_and_finds_a_flipped_bit(
    archives: ArchiveStore, checkpoints: Checkpoints
) -> None:
    manifest = store_checkpoint(archives, data=RAW)
    seen: list[int] = []
    assert checkpoints.verify(manifest.id, progress=seen.append) == manifest
    assert seen[-1] == len(RAW)
    damage(archives, manifest.id)
    with pytest.raises(ArchiveDamagedError):
        checkpoints.verify(manifest.id)
    with pytest.raises(CheckpointNotFoundError):
        checkpoints.verify(MISSING)


def test_a_checkpoint_that_goes_while_it_is_read_is_not_called_damaged(
    archives: ArchiveStore, checkpoints: Checkpoints
) -> None:
    manifest = store_checkpoint(archives, data=noise(40 << 20))
    pieces = checkpoints.read(manifest.id)
    next(pieces)
    archives.delete_checkpoint(manifest.id)
    with pytest.raises(CheckpointNotFoundError):
        list(pieces)


def test_export_writes_the_plain_archive(
    archives: ArchiveStore, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    manifest, path = store_checkpoint(archives, data=RAW), tmp_path / "web.tar"
    checkpoints.export(manifest.id, path)
    assert path.read_bytes() == RAW
    with pytest.raises(InvalidRequestError, match="--overwrite"):
        checkpoints.export(manifest.id, path)
    damage(archives, manifest.id)
    with pytest.raises(ArchiveDamagedError):
        checkpoints.export(manifest.id, path, overwrite=True)
    assert path.read_bytes() == RAW
    assert list(tmp_path.iterdir()) == [path]


def test_import_stores_what_podman_exported(
    archives: ArchiveStore, checkpoints: Checkpoints
) -> None:
    manifest = checkpoints.import_(export_file(tar()), workload="copy")
    assert manifest == archives.manifest(manifest.id) == checkpoints.ls("copy")[0]
    assert b"".join(checkpoints.read(manifest.id)) == tar()
    assert (manifest.workload, manifest.host) == ("copy", "")
    assert manifest.image.id == CONFIG["rootfsImageID"]
    assert not manifest.image.archived
    assert manifest.volumes == ("data",)
    assert manifest.imported is not None
    assert manifest.imported.container == "web"
    assert "devices" in manifest.imported.unknown
    spec = RunSpec.model_validate(manifest.spec)
    assert (spec.name, spec.env["TOKEN"]) == ("copy", "abc")
    assert manifest.networks[0]["name"] == "mynet"
    assert "TOKEN" not in repr(manifest)


def test_import_of_something_else_leaves_nothing(
    archives: ArchiveStore, checkpoints: Checkpoints
) -> None:
    with pytest.raises(NotACheckpointError, match=r"x\.tar is no checkpoint"):
        checkpoints.import_(export_file(tar()[:100_000]), workload="web", name="x.tar")
    with pytest.raises(InvalidRequestError, match="a b"):
        checkpoints.import_(export_file(tar()), workload="a b")
    assert list(archives.objects.list("")) == []


def test_pins(archives: ArchiveStore, checkpoints: Checkpoints) -> None:
    manifest = store_checkpoint(archives)
    checkpoints.pin(manifest.id, reason="audit")
    assert checkpoints.pins([manifest.id])[manifest.id].reason == "audit"
    with pytest.raises(CheckpointNeededError):
        checkpoints.rm([manifest.id])
    checkpoints.unpin(manifest.id)
    assert checkpoints.pins([manifest.id]) == {}
    checkpoints.rm([manifest.id])
    for act in (checkpoints.pin, checkpoints.unpin, checkpoints.show):
        with pytest.raises(CheckpointNotFoundError):
            act(manifest.id)


def test_prune_goes_by_the_settings_or_what_is_given(
    archives: ArchiveStore, checkpoints: Checkpoints
) -> None:
    for days in range(4):
        store_checkpoint(archives, created=now() - timedelta(days=days))
    rehearsed = checkpoints.prune(RetentionPolicy(keep=Keep(last=1)), dry_run=True)
    assert len(rehearsed.removed) == 3
    assert len(checkpoints.prune().removed) == 2
    assert len(checkpoints.ls()) == 2


def test_a_group_is_shown_and_pinned_as_one(
    checkpoints: Checkpoints, archives: ArchiveStore
) -> None:
    groups = [
        store_group(archives, "shop", "db", "web", created=now() - timedelta(days=age))
        for age in range(3)
    ]
    assert checkpoints.groups() == groups
    assert checkpoints.groups("other") == []
    assert checkpoints.group(groups[0].id) == groups[0]
    assert checkpoints.group(groups[0].members[0]) is None
    with pytest.raises(InvalidRequestError, match=groups[0].members[0]):
        next(checkpoints.read(groups[0].id))
    checkpoints.pin(groups[2].id, reason="audit")
    assert set(checkpoints.pins([g.id for g in groups], groups=True)) == {groups[2].id}
    checkpoints.prune(RetentionPolicy(keep=Keep(last=1)))
    assert checkpoints.groups() == [groups[0], groups[2]]
    assert len(checkpoints.ls("db")) == len(checkpoints.ls("web")) == 2
    checkpoints.unpin(groups[2].id)
    checkpoints.prune(RetentionPolicy(keep=Keep(last=1)))
    assert [m.group for m in checkpoints.ls()] == [groups[0].id] * 2
