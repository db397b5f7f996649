"""Chains of checkpoints of one process, each stored as what changed since the one before."""

from __future__ import annotations

from datetime import datetime, timedelta

from storage import (
    ArchiveStore,
    Base,
    BaseRef,
    CheckpointManifest,
    Written,
    new_archive_prefix,
    new_checkpoint_id,
)
from tests.unit.storage.pages.checkpoints import HEAP, checkpoint, pages
from tests.unit.storage.samples import NOON, chunked, manifest_of

PAGES = 40


def tar_of(number: int, *, size: int = PAGES) -> bytes:
    """The tar of a process's checkpoint; two pages are other ones in each, and it grows by one."""
    seeds = [*range(1, size + 1), *range(2000, 2000 + number)]
    seeds[3] += 1000 * number
    seeds[size // 2] += 1000 * number
    return checkpoint({7: pages(HEAP, seeds)}, time=number)


def store_tar(
    archives: ArchiveStore,
    tar: bytes,
    *,
    workload: str = "web",
    created: datetime = NOON,
    base: BaseRef | None = None,
    publish: bool = True,
) -> CheckpointManifest:
    """A checkpoint with an index; a delta when there is a base."""
    checkpoint_id = new_checkpoint_id(workload, created)
    prefix = new_archive_prefix(f"checkpoints/{checkpoint_id}")

    def write(opened: Base | None) -> Written:
        return archives.write_pages(prefix, chunked(tar, 30_000), base=opened)

    if base is None:
        written = write(None)
    else:
        with archives.base(base) as opened:
            written = write(opened)
    manifest = CheckpointManifest.model_validate(
        manifest_of(written.archive, checkpoint_id, created=created).model_dump()
        | {
            **written.fields,
            "parent": base.parent if base else None,
            "chain": base.chain if base else (),
        }
    )
    if publish:
        archives.publish(manifest)
    return manifest


def store_chain(
    archives: ArchiveStore, count: int, *, workload: str = "web", first: int = 0, size: int = PAGES
) -> list[CheckpointManifest]:
    """A full checkpoint of `tar_of(first)`, and the next ones as deltas."""
    made: list[CheckpointManifest] = []
    for number in range(first, first + count):
        made.append(
            store_tar(
                archives,
                tar_of(number, size=size),
                workload=workload,
                created=NOON + timedelta(seconds=number),
                base=made[-1].base if made else None,
            )
        )
    return made
