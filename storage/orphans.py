"""What belongs to nothing that exists: dead uploads, images nobody needs, forgotten contexts.

Whoever writes an archive publishes its manifest last, and whoever is about to restore one has a
workflow that names it. So a place is an orphan when it has no manifest, no unfinished workflow
names it, and its newest object is older than a grace time, longer than any upload.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.survey import Place, Survey


@dataclass(frozen=True, kw_only=True)
class InUse:
    """What unfinished workflows name: checkpoint ids, image ids (64 hex digits), and their own."""

    checkpoints: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    workflows: frozenset[str] = frozenset()


class StoredKind(StrEnum):
    """What can be removed."""

    CHECKPOINT = "checkpoint"
    GROUP = "group"  # what makes several checkpoints one; they are removed after it
    UPLOAD = "upload"  # of a checkpoint or an image, that no manifest came to name
    IMAGE = "image"  # that no checkpoint was taken from
    CONTEXT = "context"  # of a build that never came to use it
    PROBE = "probe"  # left by a check of the store that was killed


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """Something to remove: all objects whose keys start with `prefix`.

    An upload's `id` is where it lies: below `checkpoints/ID` or `images/ID`.
    """

    kind: StoredKind
    id: str
    prefix: str
    size: int
    newest: datetime


def find_orphans(
    found: Survey, *, kept: Collection[str], in_use: InUse, before: datetime
) -> list[Orphan]:
    """The orphans that were left alone since `before`, given the checkpoints that are kept."""
    orphans = [*_uploads(found, in_use), *_images(found, kept, in_use), *_others(found, in_use)]
    return [orphan for orphan in orphans if orphan.newest < before]


def _uploads(found: Survey, in_use: InUse) -> Iterator[Orphan]:
    """Whole places without a manifest, and beside a manifest the uploads that it does not name."""
    for owner, place in found.unpublished.items():
        if not named(in_use, owner):
            yield _orphan(StoredKind.UPLOAD, owner, f"{owner}/", place)
    if found.readable:  # one that is not may need an upload of another's
        needed = frozenset[str]().union(*found.named.values())
        for upload, place in found.uploads.items():
            owner = upload.rpartition("/")[0]
            if owner in found.named and upload not in needed and not named(in_use, owner):
                yield _orphan(StoredKind.UPLOAD, upload, f"{upload}/", place)


def _images(found: Survey, kept: Collection[str], in_use: InUse) -> Iterator[Orphan]:
    needed = in_use.images | {
        m.image.id.removeprefix("sha256:") for i, m in found.manifests.items() if i in kept
    }
    for image_id, place in found.images.items() if found.readable else ():
        if image_id not in needed:
            yield _orphan(StoredKind.IMAGE, image_id, f"images/{image_id}/", place)


def named(in_use: InUse, owner: str) -> bool:
    """Whether a workflow names this checkpoint (`checkpoints/ID`) or image (`images/ID`)."""
    kind, _, name = owner.partition("/")
    return name in (in_use.checkpoints if kind == "checkpoints" else in_use.images)


def _others(found: Survey, in_use: InUse) -> Iterator[Orphan]:
    for workflow_id, place in found.contexts.items():
        if workflow_id not in in_use.workflows:
            yield _orphan(StoredKind.CONTEXT, workflow_id, f"contexts/{workflow_id}/", place)
    for name, place in found.probes.items():
        yield _orphan(StoredKind.PROBE, f"probe-{name}", f"probe-{name}", place)


def _orphan(kind: StoredKind, name: str, prefix: str, place: Place) -> Orphan:
    return Orphan(kind=kind, id=name, prefix=prefix, size=place.size, newest=place.newest)
