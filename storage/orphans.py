"""What belongs to nothing that exists: dead uploads, images nobody needs, forgotten contexts.

Whoever writes an archive publishes its manifest last, and whoever is about to restore one has a
workflow that names it. So a place is an orphan when it has no manifest, no unfinished workflow
names it, and its newest object is older than a grace time, longer than any upload.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.survey import MANIFEST, Place, Survey


@dataclass(frozen=True, kw_only=True)
class InUse:
    """What unfinished workflows name: checkpoint ids, image ids (64 hex digits), and their own."""

    checkpoints: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    workflows: frozenset[str] = frozenset()


class StoredKind(StrEnum):
    """What can be removed."""

    CHECKPOINT = "checkpoint"
    UPLOAD = "upload"  # of a checkpoint, that ended without a manifest
    IMAGE = "image"  # that no checkpoint was taken from
    IMAGE_UPLOAD = "image-upload"  # that another was faster than, or that died
    CONTEXT = "context"  # of a build that never came to use it
    PROBE = "probe"  # left by a check of the store that was killed


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """Something to remove: all objects whose keys start with `prefix`."""

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
    for checkpoint_id, place in found.checkpoints.items():
        if MANIFEST not in place.names and checkpoint_id not in in_use.checkpoints:
            yield _orphan(StoredKind.UPLOAD, checkpoint_id, f"checkpoints/{checkpoint_id}/", place)


def _images(found: Survey, kept: Collection[str], in_use: InUse) -> Iterator[Orphan]:
    needed = images_of(found, kept) | in_use.images
    gone = set[str]()
    for image_id in found.images if found.readable else ():
        if image_id not in needed:
            gone.add(image_id)
            place = found.image_places[image_id]
            yield _orphan(StoredKind.IMAGE, image_id, f"images/{image_id}/", place)
    for upload, place in found.image_uploads.items():
        image_id = upload.partition("/")[0]
        known = found.images.get(image_id)
        unreadable = known is None and MANIFEST in found.image_places[image_id].names
        current = known is not None and known.archive.prefix == f"images/{upload}"
        if not (unreadable or current or image_id in gone or image_id in in_use.images):
            yield _orphan(StoredKind.IMAGE_UPLOAD, upload, f"images/{upload}/", place)


def _others(found: Survey, in_use: InUse) -> Iterator[Orphan]:
    for workflow_id, place in found.contexts.items():
        if workflow_id not in in_use.workflows:
            yield _orphan(StoredKind.CONTEXT, workflow_id, f"contexts/{workflow_id}/", place)
    for name, place in found.probes.items():
        yield _orphan(StoredKind.PROBE, f"probe-{name}", f"probe-{name}", place)


def images_of(found: Survey, checkpoints: Collection[str]) -> set[str]:
    """The images that these checkpoints were taken from."""
    return {
        m.image.id.removeprefix("sha256:") for i, m in found.manifests.items() if i in checkpoints
    }


def _orphan(kind: StoredKind, name: str, prefix: str, place: Place) -> Orphan:
    return Orphan(kind=kind, id=name, prefix=prefix, size=place.size, newest=place.newest)
