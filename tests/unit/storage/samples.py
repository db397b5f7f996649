"""Things to store, and an object store that can be told to fail."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from storage import (
    Archive,
    ArchiveStore,
    CheckpointManifest,
    GroupManifest,
    ImageRef,
    Key,
    MemoryObjectStore,
    ObjectInfo,
    StaticKeyring,
    StoreUnavailableError,
    member_checkpoint_id,
    new_archive_prefix,
    new_checkpoint_id,
)
from storage.objects import Blob

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "hunter2-in-the-environment"
KEYS = StaticKeyring(Key(id="sample", created=NOON, secret=bytes(range(32))))


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 # wants to be repeatable


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def manifest_of(
    archive: Archive, checkpoint_id: str, *, created: datetime = NOON
) -> CheckpointManifest:
    return CheckpointManifest(
        id=checkpoint_id,
        workload=checkpoint_id.partition("/")[0],
        created=created,
        host="alpha",
        container_id="c0ffee",
        image=ImageRef(name="docker.io/library/redis:7", id="sha256:" + "a" * 64, archived=False),
        spec={"image": "redis:7", "environment": {"PASSWORD": SECRET}},
        volumes=("data",),
        archive=archive,
    )


def store_checkpoint(
    store: ArchiveStore, workload: str = "web", data: bytes = b"state", *, created: datetime = NOON
) -> CheckpointManifest:
    checkpoint_id = new_checkpoint_id(workload, created)
    archive = store.write(new_archive_prefix(f"checkpoints/{checkpoint_id}"), [data])
    manifest = manifest_of(archive, checkpoint_id, created=created)
    store.publish(manifest)
    return manifest


def store_group(
    store: ArchiveStore, workload: str = "shop", *members: str, created: datetime = NOON
) -> GroupManifest:
    """A group's checkpoint, with one of each of its members."""
    group_id = new_checkpoint_id(workload, created)
    for name in members:
        member_id = member_checkpoint_id(group_id, name)
        archive = store.write(new_archive_prefix(f"checkpoints/{member_id}"), [b"state"])
        made = manifest_of(archive, member_id, created=created)
        store.publish(made.model_copy(update={"group": group_id}))
    group = GroupManifest(
        id=group_id,
        workload=workload,
        kind="project",
        created=created,
        host="alpha",
        members=tuple(member_checkpoint_id(group_id, name) for name in members),
    )
    store.publish_group(group)
    return group


class AgedObjectStore(MemoryObjectStore):
    """Says that everything was written at NOON, what begins with a key of `ages` before that."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: dict[str, timedelta] = {}

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for info in super().list(prefix):
            ages = (age for start, age in self.ages.items() if info.key.startswith(start))
            yield replace(info, modified=NOON - next(ages, timedelta()))


class FailingObjectStore(MemoryObjectStore):
    """Refuses to put keys that end with `failing`; a delete fails when `deletes` is off."""

    def __init__(self, failing: str, *, deletes: bool = True) -> None:
        super().__init__()
        self._failing = failing
        self._deletes = deletes

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        if key.endswith(self._failing):
            raise StoreUnavailableError(self.url, "told to fail")
        super().put(key, data, if_absent=if_absent)

    def delete(self, key: str) -> None:
        if not self._deletes:
            raise StoreUnavailableError(self.url, "told not to delete")
        super().delete(key)
