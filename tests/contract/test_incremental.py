"""Chains of checkpoints, whatever object store lies below."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from storage import (
    ArchiveDamagedError,
    ArchiveStore,
    InUse,
    Keep,
    NoBaseError,
    ObjectStore,
    ParentGoneError,
    RetentionPolicy,
    prune,
)
from tests.unit.storage.chains import store_chain, store_tar, tar_of
from tests.unit.storage.samples import KEYS, NOON, store_checkpoint

pytestmark = pytest.mark.contract
PART = 100_000


@pytest.fixture
def archives(objects: ObjectStore) -> ArchiveStore:
    return ArchiveStore(objects, keys=KEYS, part_bytes=PART)


def tar(archives: ArchiveStore, checkpoint_id: str) -> bytes:
    return b"".join(archives.read_checkpoint(archives.manifest(checkpoint_id)))


def test_each_of_a_chain_is_what_it_was(archives: ArchiveStore) -> None:
    chain = store_chain(archives, 5)

    for number, manifest in enumerate(chain):
        assert tar(archives, manifest.id) == tar_of(number)
        assert manifest.tar_bytes == len(tar_of(number))
        assert len(manifest.chain) == number
        assert manifest.parent == (chain[number - 1].id if number else None)
    assert all(m.archive.size < chain[0].archive.size / 5 for m in chain[1:])


def test_what_a_checkpoint_needs_may_not_be_gone_when_it_is_published(
    archives: ArchiveStore,
) -> None:
    for gone in range(3):
        chain = store_chain(archives, 3)
        child = store_tar(archives, tar_of(3), base=chain[-1].base, publish=False)
        archives.delete_checkpoint(chain[gone].id)

        with pytest.raises(ParentGoneError, match="--full") as caught:
            archives.publish(child)
        assert caught.value.checkpoint_id == child.id

        assert not archives.has_checkpoint(child.id)


def test_the_newest_is_the_base_until_its_chain_is_long(archives: ArchiveStore) -> None:
    with pytest.raises(NoBaseError, match="no other"):
        archives.newest_base("web", full_every=2)
    _, second = store_chain(archives, 2)
    assert archives.newest_base("web", full_every=3) == second.base
    with pytest.raises(NoBaseError, match="last of its chain"):
        archives.newest_base("web", full_every=2)

    store_checkpoint(archives, created=NOON + timedelta(hours=1))

    with pytest.raises(NoBaseError, match="no page index"):
        archives.newest_base("web", full_every=3)


@pytest.mark.parametrize("kept", list(itertools.combinations(range(4), 2)))
def test_pruning_leaves_what_the_kept_ones_need(
    archives: ArchiveStore, kept: tuple[int, ...]
) -> None:
    chain = store_chain(archives, 4)

    for policy in Keep(last=2), Keep(last=1):
        prune(
            archives,
            lambda _, keep=policy: RetentionPolicy(keep=keep),  # type: ignore[misc]
            lambda: InUse(checkpoints=frozenset(chain[n].id for n in kept)),
            now=NOON + timedelta(days=400),
            grace=timedelta(0),
        )
        for number in {*kept, 3}:
            assert tar(archives, chain[number].id) == tar_of(number)


def test_an_archive_of_the_chain_that_is_gone_is_damage(
    archives: ArchiveStore, objects: ObjectStore
) -> None:
    chain = store_chain(archives, 3)
    objects.delete(f"{chain[1].archive.prefix}/parts/000000")

    with pytest.raises(ArchiveDamagedError):
        tar(archives, chain[2].id)
    assert tar(archives, chain[0].id) == tar_of(0)
