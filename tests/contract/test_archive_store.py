"""What the archive store promises, whatever object store lies below it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from storage import (
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointNotFoundError,
    Key,
    KeyMissingError,
    ManifestInvalidError,
    ObjectExistsError,
    ObjectStore,
    StaticKeyring,
    new_archive_prefix,
    new_checkpoint_id,
)
from tests.unit.storage.samples import (
    KEYS,
    NOON,
    SECRET,
    chunked,
    manifest_of,
    noise,
    store_checkpoint,
)

pytestmark = pytest.mark.contract
PART = 100_000
RAW = noise(500_000) + bytes(500_000)
IMAGE = "sha256:" + "a" * 64
MISSING = "web/20261123T120000Z-000000"


@pytest.fixture
def archives(objects: ObjectStore) -> ArchiveStore:
    return ArchiveStore(objects, keys=KEYS, part_bytes=PART)


def keys(objects: ObjectStore, prefix: str = "") -> list[str]:
    return sorted(info.key for info in objects.list(prefix))


def test_stream_comes_back(archives: ArchiveStore, objects: ObjectStore) -> None:
    archive = archives.write("some/prefix", chunked(RAW, 30_000))

    assert b"".join(archives.read(archive)) == RAW
    assert archive.raw_size == len(RAW)
    assert archive.size < len(RAW)
    parts = range(-(-archive.size // PART))
    assert keys(objects) == [
        "some/prefix/header.json",
        *(f"some/prefix/parts/{number:06d}" for number in parts),
    ]


def test_reading_follows_the_archive_not_the_settings(objects: ObjectStore) -> None:
    other = ArchiveStore(objects, keys=KEYS, part_bytes=PART, compression="none")
    archive = other.write("prefix", [RAW])

    assert b"".join(ArchiveStore(objects, keys=KEYS).read(archive)) == RAW


def test_failing_source_leaves_nothing(archives: ArchiveStore, objects: ObjectStore) -> None:
    def source() -> Iterator[bytes]:
        yield RAW
        raise RuntimeError("the container is gone")

    with pytest.raises(RuntimeError, match="container is gone"):
        archives.write("prefix", source())

    assert keys(objects) == []


def test_missing_part_is_damage(archives: ArchiveStore, objects: ObjectStore) -> None:
    archive = archives.write("prefix", [RAW])
    objects.delete("prefix/parts/000002")

    with pytest.raises(ArchiveDamagedError, match="parts/000002 is missing"):
        list(archives.read(archive))


def test_checkpoint_exists_once_published(archives: ArchiveStore) -> None:
    checkpoint_id = new_checkpoint_id("web", NOON)
    archive = archives.write(new_archive_prefix(f"checkpoints/{checkpoint_id}"), [RAW])
    assert archives.checkpoints() == []
    with pytest.raises(CheckpointNotFoundError):
        archives.manifest(checkpoint_id)

    manifest = manifest_of(archive, checkpoint_id)
    archives.publish(manifest)

    assert archives.manifest(checkpoint_id) == manifest
    assert archives.checkpoints() == [manifest]


def test_publishing_again_changes_nothing(archives: ArchiveStore) -> None:
    manifest = store_checkpoint(archives)

    archives.publish(manifest)
    with pytest.raises(ObjectExistsError):
        archives.publish(manifest.model_copy(update={"host": "beta"}))

    assert archives.manifest(manifest.id) == manifest


@pytest.mark.parametrize("checkpoint_id", [MISSING, "web", "", "../../secret", "web/../../x"])
def test_unknown_checkpoint_is_not_found(archives: ArchiveStore, checkpoint_id: str) -> None:
    with pytest.raises(CheckpointNotFoundError) as missing:
        archives.manifest(checkpoint_id)

    assert missing.value.checkpoint_id == checkpoint_id


def test_latest_is_the_newest_of_its_workload(archives: ArchiveStore) -> None:
    times = [NOON + timedelta(milliseconds=offset) for offset in (0, 900, 300)]
    _, newest, _ = (store_checkpoint(archives, created=time) for time in times)
    store_checkpoint(archives, "web2", created=NOON + timedelta(days=1))

    assert archives.latest("web") == newest
    with pytest.raises(CheckpointNotFoundError, match="we"):
        archives.latest("we")


def test_listing_is_newest_first(archives: ArchiveStore) -> None:
    first, second, third = (
        store_checkpoint(archives, workload, created=NOON + timedelta(hours=hour))
        for hour, workload in enumerate(["web", "db", "web"])
    )

    assert archives.checkpoints() == [third, second, first]
    assert archives.checkpoints("web") == [third, first]
    assert archives.checkpoints("other") == []


@pytest.mark.parametrize(
    "damage",
    [b"", b"not JSON", b"\xff\xfe", b"[]", b'{"version": 2}', b'{"version": 1, "id": "web"}'],
)
def test_damaged_manifest_does_not_hide_the_others(
    archives: ArchiveStore, objects: ObjectStore, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    good = store_checkpoint(archives)
    bad = store_checkpoint(archives, created=NOON + timedelta(hours=1))
    objects.put(f"checkpoints/{bad.id}/manifest.json", damage)

    with pytest.raises(ManifestInvalidError) as invalid:
        archives.manifest(bad.id)
    assert archives.checkpoints() == [good]

    assert invalid.value.key == f"checkpoints/{bad.id}/manifest.json"
    assert bad.id in caplog.text


def test_manifest_under_another_id_is_invalid(archives: ArchiveStore, objects: ObjectStore) -> None:
    manifest = store_checkpoint(archives)
    data = objects.get(f"checkpoints/{manifest.id}/manifest.json")
    objects.put(f"checkpoints/{MISSING}/manifest.json", data)

    with pytest.raises(ManifestInvalidError, match=manifest.id):
        archives.manifest(MISSING)


def test_a_manifest_of_version_1_is_refused(archives: ArchiveStore, objects: ObjectStore) -> None:
    manifest = store_checkpoint(archives)
    data = manifest.model_dump_json().replace('"version":2', '"version":1').encode()
    objects.put(f"checkpoints/{manifest.id}/manifest.json", data)

    with pytest.raises(ManifestInvalidError, match="version") as invalid:
        archives.manifest(manifest.id)

    assert SECRET in data.decode()
    assert SECRET not in f"{invalid.value} {invalid.value.__cause__}"


def test_a_checkpoint_whose_key_is_missing_does_not_hide_the_others(
    archives: ArchiveStore, objects: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    new = Key(id="new", created=NOON, secret=bytes(range(32, 64)))
    rotated = ArchiveStore(objects, keys=StaticKeyring(KEYS.current(), new), part_bytes=PART)
    old, newer = store_checkpoint(archives), store_checkpoint(rotated)

    assert archives.checkpoints() == [old]
    assert newer.id in caplog.text
    with pytest.raises(KeyMissingError, match="key new is not in"):
        archives.manifest(newer.id)
    assert sorted(m.id for m in rotated.checkpoints()) == sorted([old.id, newer.id])
    assert b"".join(rotated.read(old.archive)) == b"state"


def test_an_archive_is_read_while_it_is_written(archives: ArchiveStore) -> None:
    checkpoint_id, raw = new_checkpoint_id("web", NOON), noise(12 << 20)
    prefix = new_archive_prefix(f"checkpoints/{checkpoint_id}")
    arrived, deadline = threading.Event(), time.monotonic() + 60
    found = bytearray()

    def alive() -> None:
        assert time.monotonic() < deadline

    def source() -> Iterator[bytes]:
        yield raw[: 10 << 20]
        assert arrived.wait(60)
        yield raw[10 << 20 :]

    def read() -> None:
        for piece in archives.follow(checkpoint_id, prefix, alive=alive):
            found.extend(piece)
            arrived.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        archive = archives.write(prefix, source())
        archives.publish(manifest_of(archive, checkpoint_id))
        reading.result(60)

    assert found == raw


def test_deleting_takes_all_of_one_checkpoint(archives: ArchiveStore, objects: ObjectStore) -> None:
    kept, deleted = store_checkpoint(archives), store_checkpoint(archives)

    for _ in range(2):
        archives.delete_checkpoint(deleted.id)

    assert archives.checkpoints() == [kept]
    assert keys(objects, f"checkpoints/{deleted.id}") == []
    with pytest.raises(ValueError, match="not a checkpoint id"):
        archives.delete_checkpoint("web")
    assert b"".join(archives.read(kept.archive)) == b"state"


def test_image_is_stored_once(archives: ArchiveStore, objects: ObjectStore) -> None:
    assert archives.image(IMAGE) is None

    image = archives.write_image(IMAGE, ["localhost/web:1"], [RAW])
    stored = keys(objects)

    assert archives.image(IMAGE) == archives.image("a" * 64) == image
    assert archives.write_image(IMAGE, ["localhost/web:2"], [b"other"]) == image
    assert image.names == ("localhost/web:1",)
    assert b"".join(archives.read(image.archive)) == RAW
    assert keys(objects) == stored
    assert f"images/{'a' * 64}/manifest.json" in stored


def test_racing_image_writers_do_not_mix(archives: ArchiveStore, objects: ObjectStore) -> None:
    def source() -> Iterator[bytes]:
        yield RAW
        # the other writer starts later and is done first
        archives.write_image(IMAGE, ["fast"], [RAW[::-1]])
        yield RAW

    slow = archives.write_image(IMAGE, ["slow"], source())

    assert slow.names == ("fast",)
    assert slow == archives.image(IMAGE)
    assert b"".join(archives.read(slow.archive)) == RAW[::-1]
    assert len(keys(objects)) == -(-slow.archive.size // PART) + 2
