from __future__ import annotations

import pytest

from storage import UNENCRYPTED, ArchiveStore, CheckpointNotFoundError, MemoryObjectStore, Pins
from tests.unit.storage.samples import NOON, store_checkpoint

MISSING = "web/20261123T120000Z-000000"


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def pins(objects: MemoryObjectStore) -> Pins:
    return Pins(objects)


def test_a_pin_comes_and_goes_and_the_manifest_stays(
    objects: MemoryObjectStore, pins: Pins
) -> None:
    archives = ArchiveStore(objects, keys=UNENCRYPTED)
    manifest = store_checkpoint(archives)
    assert pins.get(manifest.id) is None

    pins.set(manifest.id, reason="before the upgrade", now=NOON)

    pin = pins.get(manifest.id)
    assert pin is not None
    assert (pin.reason, pin.created) == ("before the upgrade", NOON)
    assert archives.manifest(manifest.id) == manifest
    assert b"".join(archives.read(manifest.archive)) == b"state"
    for _ in range(2):
        pins.remove(manifest.id)
    assert pins.get(manifest.id) is None


@pytest.mark.parametrize("checkpoint_id", [MISSING, "web", "../../x"])
def test_what_does_not_exist_is_not_pinned(
    objects: MemoryObjectStore, pins: Pins, checkpoint_id: str
) -> None:
    with pytest.raises(CheckpointNotFoundError):
        pins.set(checkpoint_id, reason="", now=NOON)
    assert list(objects.list("")) == []


def test_a_pin_that_cannot_be_read_holds(objects: MemoryObjectStore, pins: Pins) -> None:
    manifest = store_checkpoint(ArchiveStore(objects, keys=UNENCRYPTED))
    objects.put(f"checkpoints/{manifest.id}/pin.json", b'{"version": 7}')
    pin = pins.get(manifest.id)
    assert pin is not None
    assert pin.created is None


def test_a_deleted_checkpoint_takes_its_pin_along(objects: MemoryObjectStore, pins: Pins) -> None:
    archives = ArchiveStore(objects, keys=UNENCRYPTED)
    manifest = store_checkpoint(archives)
    pins.set(manifest.id, reason="", now=NOON)
    archives.delete_checkpoint(manifest.id)
    assert list(objects.list("")) == []
