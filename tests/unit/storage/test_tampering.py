"""Whatever happens to the stored objects: no wrong byte, and no end that looks like one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointManifest,
    ManifestInvalidError,
    MemoryObjectStore,
    StorageError,
)
from tests.unit.storage.samples import KEYS, noise, store_checkpoint

PART = 1000
SIZE = 10_000


class Store:
    """Two checkpoints of a workload and one of another, each of several parts."""

    def __init__(self) -> None:
        self.objects = MemoryObjectStore()
        self.archives = ArchiveStore(self.objects, keys=KEYS, part_bytes=PART, compression="none")
        self.raw: dict[str, bytes] = {}
        for seed, workload in enumerate(["web", "web", "db"]):
            raw = noise(SIZE, seed=seed)
            self.raw[store_checkpoint(self.archives, workload, raw).id] = raw
        self.ids = sorted(self.raw)
        self.keys = sorted(info.key for info in self.objects.list(""))

    def manifest_key(self, checkpoint_id: str) -> str:
        return f"checkpoints/{checkpoint_id}/manifest.json"

    def archive_keys(self, checkpoint_id: str) -> list[str]:
        """The header, then the parts."""
        prefix = self.archives.manifest(checkpoint_id).archive.prefix
        return [key for key in self.keys if key.startswith(f"{prefix}/")]

    def content(self) -> dict[str, bytes]:
        return {info.key: self.objects.get(info.key) for info in self.objects.list("")}

    def restore(self, checkpoint_id: str) -> Iterator[bytes]:
        """What Podman would get."""
        yield from map(bytes, self.archives.read(self.archives.manifest(checkpoint_id).archive))

    def follow(self, checkpoint_id: str, prefix: str) -> Iterator[bytes]:
        """What Podman would get of a relay."""

        def nobody() -> None:
            raise ArchiveDamagedError(prefix, "nobody writes what is missing")

        return map(bytes, self.archives.follow(checkpoint_id, prefix, alive=nobody))


def drained(stream: Iterator[bytes]) -> tuple[bytes, bool]:
    """All that a stream gives, and whether it ended well."""
    got = b""
    try:
        for piece in stream:
            got += piece
    except StorageError:
        return got, False
    return got, True


@pytest.fixture
def store() -> Store:
    return Store()


def received(store: Store, checkpoint_id: str) -> bytes:
    """What goes on to Podman before reading is refused, as it must be."""
    got, ended = drained(store.restore(checkpoint_id))
    assert not ended
    return got


@given(data=st.data())
@settings(deadline=None)
def test_no_damage_is_taken_for_the_checkpoint(data: st.DataObject) -> None:
    store = Store()
    prefixes = {i: store.archives.manifest(i).archive.prefix for i in store.ids}
    before = store.content()
    for _ in range(data.draw(st.integers(1, 3))):
        damage(store, data)

    changed = {key for key in store.keys if store.content().get(key) != before[key]}
    for checkpoint_id in store.ids:
        raw, place = store.raw[checkpoint_id], f"checkpoints/{checkpoint_id}/"
        relayed = store.follow(checkpoint_id, prefixes[checkpoint_id])
        for stream in store.restore(checkpoint_id), relayed:
            got, ended = drained(stream)
            assert raw.startswith(got)
            assert ended == (got == raw)
            assert ended or any(key.startswith(place) for key in changed)


@given(data=st.data())
@settings(deadline=None)
def test_no_damaged_part_is_read_to_its_end(data: st.DataObject) -> None:
    store = Store()
    checkpoint_id = data.draw(st.sampled_from(store.ids))
    victim = data.draw(st.sampled_from(store.archive_keys(checkpoint_id)[1:]))
    before = store.objects.get(victim)
    while store.content().get(victim) == before:
        damage(store, data, victim)

    number = int(victim[-6:])
    got = received(store, checkpoint_id)

    assert store.raw[checkpoint_id].startswith(got)
    assert len(got) <= number * PART


def damage(store: Store, data: st.DataObject, victim: str | None = None) -> None:
    """Do something to the objects that whoever writes to the store could do."""
    objects, now = store.objects, store.content()
    key = victim or data.draw(st.sampled_from(store.keys))
    other = data.draw(st.sampled_from(store.keys))
    content = now.get(key, b"?")
    match data.draw(st.sampled_from(["flip", "cut", "grow", "delete", "swap", "copy", "append"])):
        case "flip" if content:
            changed = bytearray(content)
            changed[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
            objects.put(key, changed)
        case "cut":
            objects.put(key, content[: data.draw(st.integers(0, max(0, len(content) - 1)))])
        case "grow":
            objects.put(key, content + data.draw(st.binary(min_size=1, max_size=2 * PART)))
        case "delete":
            objects.delete(key)
        case "swap":
            objects.put(key, now.get(other, b"?"))
            objects.put(other, content)
        case "copy":
            objects.put(key, now.get(other, b"?"))
        case "append":
            objects.put(key, content + now.get(other, b"?"))


def test_two_archives_do_not_mix(store: Store) -> None:
    first, second = store.ids[1:]
    store.objects.put(
        store.archive_keys(first)[5], store.objects.get(store.archive_keys(second)[5])
    )

    assert received(store, first) == store.raw[first][: len(received(store, first))]


def test_a_whole_other_archive_is_refused_before_a_byte_goes_on(store: Store) -> None:
    first, second = store.ids[1:]
    for mine, theirs in zip(store.archive_keys(first), store.archive_keys(second), strict=True):
        store.objects.put(mine, store.objects.get(theirs))

    assert received(store, first) == b""


def test_swapped_headers_are_refused_before_a_byte_goes_on(store: Store) -> None:
    mine, theirs = (store.archive_keys(checkpoint_id)[0] for checkpoint_id in store.ids[1:])
    content = store.objects.get(mine)
    store.objects.put(mine, store.objects.get(theirs))
    store.objects.put(theirs, content)

    for checkpoint_id in store.ids[1:]:
        assert received(store, checkpoint_id) == b""


def test_parts_in_another_order_are_refused(store: Store) -> None:
    _, first, second, *_ = store.archive_keys(store.ids[0])
    content = store.objects.get(first)
    store.objects.put(first, store.objects.get(second))
    store.objects.put(second, content)

    assert received(store, store.ids[0]) == b""


def test_an_archive_without_its_last_part_is_refused(store: Store) -> None:
    store.objects.delete(store.archive_keys(store.ids[0])[-1])

    assert len(received(store, store.ids[0])) < SIZE


@pytest.mark.parametrize("rename", [False, True])
def test_an_old_manifest_under_a_newer_id_is_refused(store: Store, rename: bool) -> None:
    _, old, new = store.ids
    replayed = json.loads(store.objects.get(store.manifest_key(old)))
    if rename:
        replayed["name"] = new
    store.objects.put(store.manifest_key(new), json.dumps(replayed).encode())

    with pytest.raises(ManifestInvalidError):
        store.archives.manifest(new)


def test_an_image_is_not_read_as_another(store: Store) -> None:
    store.archives.write_image("a" * 64, ["good"], [b"layers"])
    store.archives.write_image("b" * 64, ["bad"], [b"other layers"])
    store.objects.put(
        f"images/{'a' * 64}/manifest.json", store.objects.get(f"images/{'b' * 64}/manifest.json")
    )

    with pytest.raises(ManifestInvalidError, match="belongs to image b"):
        store.archives.image("a" * 64)


def test_a_manifest_is_not_written_with_a_header_s_seal(store: Store) -> None:
    header = json.loads(store.objects.get(store.archive_keys(store.ids[0])[0]))
    forged = json.dumps(header | {"kind": "checkpoint", "name": store.ids[0]}).encode()
    store.objects.put(store.manifest_key(store.ids[0]), forged)

    with pytest.raises(ManifestInvalidError, match="was changed"):
        store.archives.manifest(store.ids[0])


def test_no_object_shows_what_it_holds(store: Store) -> None:
    manifest: CheckpointManifest = store.archives.manifest(store.ids[0])
    secrets = [json.dumps(manifest.spec)[1:-1], manifest.container_id, manifest.host]

    for content in store.content().values():
        assert not any(secret.encode() in content for secret in secrets)
