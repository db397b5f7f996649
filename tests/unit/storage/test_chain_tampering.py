"""Whatever happens to a chain: no wrong byte, and no end that looks like one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    Archive,
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointManifest,
    ManifestInvalidError,
    MemoryObjectStore,
    StorageError,
)
from tests.unit.storage.chains import store_chain, tar_of
from tests.unit.storage.samples import KEYS

PART = 20_000
LENGTH = 3
SOMEWHERE = st.integers(0, 1 << 20)  # sizes are not the same from run to run


class Store:
    """Two chains of as many checkpoints; `tars` is what each stands for."""

    def __init__(self) -> None:
        self.objects = MemoryObjectStore()
        self.archives = ArchiveStore(self.objects, keys=KEYS, part_bytes=PART, compression="none")
        self.web = store_chain(self.archives, LENGTH)
        self.other = store_chain(self.archives, LENGTH, first=10)
        self.tars = {m.id: tar_of(n) for n, m in enumerate(self.web)}
        self.tars |= {m.id: tar_of(10 + n) for n, m in enumerate(self.other)}

    def listed(self, prefix: str = "") -> list[str]:
        return sorted(info.key for info in self.objects.list(prefix))

    def received(self, manifest: CheckpointManifest) -> tuple[bytes, bool]:
        """What goes on to Podman, and whether it ends well."""
        got = b""
        try:
            for piece in self.archives.read_checkpoint(manifest):
                got += piece
        except ArchiveDamagedError:
            return got, False
        return got, True

    def put_in_place(self, there: Archive, of: Archive) -> None:
        """One archive's objects under another's names."""
        for key in self.listed(f"{there.prefix}/"):
            self.objects.delete(key)
        for key in self.listed(f"{of.prefix}/"):
            self.objects.put(key.replace(of.prefix, there.prefix), self.objects.get(key))


@pytest.fixture
def store() -> Store:
    return Store()


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_no_damage_anywhere_is_taken_for_the_checkpoint(data: st.DataObject) -> None:
    store = Store()
    manifests = (*store.web, *store.other)
    keys = store.listed()
    for _ in range(data.draw(st.integers(1, 2))):
        key = data.draw(st.sampled_from(keys))
        content = bytearray(store.objects.get(key) if store.objects.exists(key) else b"?")
        match data.draw(st.sampled_from(["flip", "cut", "delete", "copy"])):
            case "flip" if content:
                content[data.draw(SOMEWHERE) % len(content)] ^= 1
                store.objects.put(key, content)
            case "cut":
                store.objects.put(key, content[: len(content) // 2])
            case "delete":
                store.objects.delete(key)
            case "copy":
                other = data.draw(st.sampled_from(keys))
                if store.objects.exists(other):
                    store.objects.put(key, store.objects.get(other))

    for manifest in manifests:
        got, ended = store.received(manifest)
        assert store.tars[manifest.id].startswith(got)
        assert ended == (got == store.tars[manifest.id])


@pytest.mark.parametrize("place", range(LENGTH))
def test_a_swapped_archive_is_refused_before_a_byte_goes_on(store: Store, place: int) -> None:
    store.put_in_place(store.web[place].archive, store.other[place].archive)

    for manifest in store.web[place:]:
        assert store.received(manifest) == (b"", False)
    assert store.received(store.other[-1])[1]


def test_an_older_parent_in_its_child_s_place_is_refused(store: Store) -> None:
    full, middle, last = store.web
    store.put_in_place(middle.archive, full.archive)

    assert store.received(last) == (b"", False)


@pytest.mark.parametrize("place", range(LENGTH - 1))
def test_a_chain_that_was_cut_is_refused(store: Store, place: int) -> None:
    """Whoever removes a checkpoint behind our back removes what its children need."""
    store.archives.delete_checkpoint(store.web[place].id)

    for manifest in store.web[place + 1 :]:
        assert store.received(manifest) == (b"", False)


def test_an_older_manifest_under_a_parent_s_id_changes_nothing(store: Store) -> None:
    """Archives are named by who needs them, with their digests; nobody follows ids."""
    full, middle, last = (f"checkpoints/{m.id}/manifest.json" for m in store.web)
    forged = json.loads(store.objects.get(full)) | {"name": store.web[1].id}
    store.objects.put(middle, json.dumps(forged).encode())

    with pytest.raises(ManifestInvalidError):
        store.archives.manifest(store.web[1].id)
    assert store.received(store.archives.manifest(store.web[2].id)) == (tar_of(2), True)
    assert store.objects.exists(last)


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_no_changed_index_is_compared_with(data: st.DataObject) -> None:
    store = Store()
    base = store.web[-1].base
    assert base
    key = data.draw(st.sampled_from(store.listed(f"{base.pages.index.prefix}/")))
    content = bytearray(store.objects.get(key))
    content[data.draw(SOMEWHERE) % len(content)] ^= data.draw(st.integers(1, 255))
    store.objects.put(key, content)

    try:
        with store.archives.base(base) as opened:
            assert opened.index().tar_bytes == base.pages.tar_bytes
    except StorageError:
        return
    # white space of a header's JSON is no change
    assert key.endswith("header.json")
