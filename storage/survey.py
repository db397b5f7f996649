"""What lies in an object store, by checkpoint, image and build context."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from storage.archive import ArchiveStore
from storage.errors import (
    StorageError,
    StoreAccessError,
    StoreConfigError,
    StoreUnavailableError,
)
from storage.manifest import CheckpointManifest, GroupManifest, workload_of
from storage.objects import ObjectInfo
from storage.pins import PIN
from storage.retention import Candidate

MANIFEST = "manifest.json"
UPLOAD = re.compile(r"/[0-9a-f]{16}$")  # each upload has a place of its own
_NAMED = re.compile(r'"((?:checkpoints|images)/[^"]*?/[0-9a-f]{16})["/]')
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

    One of `checkpoints` that is not in `manifests` has a manifest that cannot be read: nobody knows
    what it needs (a group may need all of its moment). A path is a prefix without its slash:
    `checkpoints/ID`, `images/ID`.
    """

    checkpoints: dict[str, Place]  # those with a manifest, by checkpoint id
    manifests: dict[str, CheckpointManifest]
    groups: dict[str, Place]  # those with a manifest, by checkpoint id
    group_manifests: dict[str, GroupManifest]
    images: dict[str, Place]  # those with a manifest, by image id: 64 hex digits
    unpublished: dict[str, Place]  # by path: all of a checkpoint or image that has no manifest
    uploads: dict[str, Place]  # by path: each upload's own place, `images/ID/UPLOAD`
    named: dict[str, frozenset[str]]  # by path: the uploads that its manifest, if readable, names
    contexts: dict[str, Place]  # by workflow id
    probes: dict[str, Place]  # by what follows "probe-"

    @property
    def readable(self) -> bool:
        """Whether every checkpoint's manifest could be read."""
        return self.checkpoints.keys() == self.manifests.keys()

    def candidates(self) -> list[Candidate]:
        """The checkpoints, for planning; where a manifest cannot be read, the listing's time."""
        moments = defaultdict[str, list[str]](list)
        for i in self.checkpoints:
            moments[i.rpartition("/")[2]].append(i)
        return [
            *(_candidate(i, place, self.manifests.get(i)) for i, place in self.checkpoints.items()),
            *(
                _group(i, place, self.group_manifests.get(i), moments[i.rpartition("/")[2]])
                for i, place in self.groups.items()
            ),
        ]


def survey(archives: ArchiveStore) -> Survey:
    """List the store and read its manifests; what cannot be read is logged."""
    listed = {
        prefix: list(archives.objects.list(prefix))
        for prefix in ("checkpoints/", "groups/", "images/", "contexts/", "probe-")
    }
    checkpoints = {i: p for i, p in _places(listed, "checkpoints/", 2).items() if _is_id(i)}
    images = _places(listed, "images/", 1)
    published = {i: p for i, p in checkpoints.items() if MANIFEST in p.names}
    published_images = {i: p for i, p in images.items() if MANIFEST in p.names}
    groups = _places(listed, "groups/", 2).items()
    published_groups = {i: p for i, p in groups if _is_id(i) and MANIFEST in p.names}
    found_groups = {}
    for group_id in published_groups:
        with _logged(group_id):
            found_groups[group_id] = archives.group(group_id)
    found = manifests(archives, published)
    uploads_named = {f"checkpoints/{i}": _named(m) for i, m in found.items()}
    for image_id in published_images:
        with _logged(image_id):
            if image := archives.image(image_id):
                uploads_named[f"images/{image_id}"] = _named(image)
    places = {f"checkpoints/{i}": p for i, p in checkpoints.items()}
    places |= {f"images/{i}": p for i, p in images.items()}
    uploads = {f"checkpoints/{i}": p for i, p in _places(listed, "checkpoints/", 3).items()}
    uploads |= {f"images/{i}": p for i, p in _places(listed, "images/", 2).items()}
    return Survey(
        checkpoints=published,
        manifests=found,
        groups=published_groups,
        group_manifests=found_groups,
        images=published_images,
        unpublished={path: p for path, p in places.items() if MANIFEST not in p.names},
        uploads={path: p for path, p in uploads.items() if UPLOAD.search(path)},
        named=uploads_named,
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
        with _logged(checkpoint_id):
            found[checkpoint_id] = archives.manifest(checkpoint_id)
    return found


def needs_of(manifest: CheckpointManifest) -> tuple[str, ...]:
    """The checkpoints that this one cannot be read without: its parent, whose needs it has too."""
    return () if manifest.parent is None else (manifest.parent,)


def _named(manifest: BaseModel) -> frozenset[str]:
    """Every upload that a manifest names, in whichever field."""
    return frozenset(_NAMED.findall(manifest.model_dump_json()))


@contextmanager
def _logged(name: str) -> Iterator[None]:
    """Go on without a manifest that cannot be read; a store that fails is another matter."""
    try:
        yield
    except (StoreUnavailableError, StoreAccessError, StoreConfigError):
        raise
    except StorageError as error:
        _logger.warning("nothing that %s may need will be removed: %s", name, error)


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
        needs=needs_of(manifest) if manifest else (),
        pinned=PIN in place.names,
        readable=manifest is not None,
    )


def _group(
    checkpoint_id: str, place: Place, manifest: GroupManifest | None, of_its_moment: list[str]
) -> Candidate:
    return Candidate(
        id=checkpoint_id,
        workload=workload_of(checkpoint_id),
        created=manifest.created if manifest else place.newest,
        size=place.size,
        needs=manifest.members if manifest else tuple(of_its_moment),
        group=True,
        pinned=PIN in place.names,
        readable=manifest is not None,
    )


def _is_id(text: str) -> bool:
    try:
        workload_of(text)
    except ValueError:
        return False
    return True
