"""What lies in an object store, by checkpoint, image and build context."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from storage.archive import ArchiveStore
from storage.errors import CheckpointNotFoundError, ManifestInvalidError
from storage.manifest import CheckpointManifest, ImageManifest, workload_of
from storage.objects import ObjectInfo
from storage.pins import PIN
from storage.retention import Candidate

MANIFEST = "manifest.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Place:
    """All objects below one prefix: their bytes, when the newest was written, names of some.

    `names` are those of the objects directly below the prefix.
    """

    size: int
    newest: datetime
    names: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A listing of the store, and the manifests that it led to.

    A place without a manifest in it belongs to an upload, under way or dead. One whose manifest is
    not in `manifests` (or `images`) has one that cannot be read: nobody knows what it needs.
    """

    checkpoints: dict[str, Place]  # by checkpoint id
    manifests: dict[str, CheckpointManifest]
    image_places: dict[str, Place]  # by image id, 64 hex digits
    images: dict[str, ImageManifest]
    image_uploads: dict[str, Place]  # by IMAGE/UPLOAD
    contexts: dict[str, Place]  # by workflow id
    probes: dict[str, Place]  # by key

    @property
    def readable(self) -> bool:
        """Whether every checkpoint's manifest could be read."""
        return all(c.readable for c in self.candidates())

    def candidates(self) -> list[Candidate]:
        """The checkpoints, for planning; where a manifest cannot be read, the listing's time."""
        return [
            _candidate(i, place, self.manifests.get(i))
            for i, place in self.checkpoints.items()
            if MANIFEST in place.names
        ]


def survey(archives: ArchiveStore) -> Survey:
    """List the store and read its manifests; what cannot be read is logged."""
    listed = {
        prefix: list(archives.objects.list(prefix))
        for prefix in ("checkpoints/", "images/", "contexts/", "probe-")
    }
    checkpoints = _places(listed, "checkpoints/", 2)
    images, uploads = _places(listed, "images/", 1), _places(listed, "images/", 2)
    return Survey(
        checkpoints={i: p for i, p in checkpoints.items() if _is_id(i)},
        manifests=manifests(archives, checkpoint_ids(listed["checkpoints/"])),
        image_places=images,
        images=_images(archives, images),
        image_uploads={i: p for i, p in uploads.items() if not i.endswith(f"/{MANIFEST}")},
        contexts=_places(listed, "contexts/", 1),
        probes=_places(listed, "probe-", 1),
    )


def checkpoint_ids(listed: Iterable[ObjectInfo]) -> set[str]:
    """The ids of the checkpoints whose manifests are in a listing."""
    places = (info.key.rpartition("/") for info in listed)
    ids = {place.removeprefix("checkpoints/") for place, _, name in places if name == MANIFEST}
    return {i for i in ids if _is_id(i)}


def manifests(archives: ArchiveStore, ids: Iterable[str]) -> dict[str, CheckpointManifest]:
    """Those of these checkpoints' manifests that can be read."""
    found = {}
    for checkpoint_id in ids:
        try:
            found[checkpoint_id] = archives.manifest(checkpoint_id)
        except (ManifestInvalidError, CheckpointNotFoundError) as error:
            _logger.warning("a checkpoint cannot be judged: %s", error)
    return found


def parent_of(manifest: CheckpointManifest) -> str | None:
    """The checkpoint that this one cannot be read without."""
    parent: str | None = getattr(manifest, "parent", None)
    return parent


def _images(archives: ArchiveStore, places: dict[str, Place]) -> dict[str, ImageManifest]:
    found = {}
    for image_id, place in places.items():
        if MANIFEST not in place.names:
            continue
        try:
            manifest = archives.image(image_id)
        except ManifestInvalidError as error:
            _logger.warning("an image cannot be judged: %s", error)
            continue
        if manifest is not None:
            found[image_id] = manifest
    return found


def _places(listed: dict[str, list[ObjectInfo]], prefix: str, depth: int) -> dict[str, Place]:
    """Sum up the listing below `prefix` by the first `depth` segments that follow it."""
    grouped = defaultdict[str, list[tuple[ObjectInfo, str]]](list)
    for info in listed[prefix]:
        segments = info.key.removeprefix(prefix).split("/", depth)
        grouped["/".join(segments[:depth])].append((info, "/".join(segments[depth:])))
    return {
        group: Place(
            size=sum(info.size for info, _ in entries),
            newest=max(info.modified for info, _ in entries),
            names=frozenset(name for _, name in entries if "/" not in name),
        )
        for group, entries in grouped.items()
    }


def _candidate(checkpoint_id: str, place: Place, manifest: CheckpointManifest | None) -> Candidate:
    return Candidate(
        id=checkpoint_id,
        workload=workload_of(checkpoint_id),
        created=manifest.created if manifest else place.newest,
        size=place.size,
        parent=parent_of(manifest) if manifest else None,
        pinned=PIN in place.names,
        readable=manifest is not None,
    )


def _is_id(text: str) -> bool:
    try:
        workload_of(text)
    except ValueError:
        return False
    return True
