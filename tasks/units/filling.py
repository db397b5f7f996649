"""Give a created container the files of a checkpoint: its image's that changed, and its volumes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, cast

from runtime import CheckpointRuntime, OutOfSightError, RunSpec
from storage import CheckpointManifest
from tasks.step import Step
from tasks.units.engine import engine
from tasks.units.streams import IteratorFile, pieces

LAYER, DELETED, VOLUMES = "rootfs-diff.tar", "deleted.files", "volumes/"


def fill(step: Step, container: str, manifest: CheckpointManifest, spec: RunSpec) -> None:
    """Unpack what the archive holds of the container's files; ``fresh`` leaves its layer out.

    The layer comes first: setting up the container mounts things over it, which replacing what
    lies below would tear away. Its volumes come after that, for the engine gives them their first
    owner then. What had its memory dumped has its layer last in its archive, which is read twice.
    """
    volumes = {
        f"{VOLUMES}{mount.source}.tar": mount.target
        for mount in spec.mounts
        if mount.type == "volume" and mount.source in manifest.volumes
    }
    filling = _Filling(step, container, volumes)
    # a root that is read-only has not changed
    layer = not (step.workflow.options.fresh or spec.security.read_only_rootfs)
    if layer and manifest.memory:
        filling.read(manifest, layer=True, volumes=False)
    if volumes or (layer and not manifest.memory):
        filling.read(manifest, layer=layer and not manifest.memory, volumes=True)


class _Filling:
    def __init__(self, step: Step, container: str, volumes: Mapping[str, str]) -> None:
        self._step = step
        self._runtime: CheckpointRuntime = engine(step)
        self._container = container
        self._volumes = volumes
        self._set_up = False

    def read(self, manifest: CheckpointManifest, *, layer: bool, volumes: bool) -> None:
        """Read all of the archive once, and unpack these parts of it."""
        for name, content in _members(self._step.read_checkpoint(manifest)):
            if layer and name == LAYER:
                self._runtime.put_archive(self._container, "/", content)
            elif layer and name == DELETED:
                self._remove(json.loads(b"".join(content)))
            elif volumes and name in self._volumes:
                self._fill_volume(self._volumes[name], content)

    def _remove(self, paths: list[str]) -> None:
        """Remove what was removed from the image; where nobody can, say so and go on."""
        try:
            self._runtime.remove_paths(self._container, paths)
        except OutOfSightError as error:
            self._step.log(f"{len(paths)} removed files of the image are there again: {error}")

    def _fill_volume(self, target: str, content: Iterator[bytes]) -> None:
        if not self._set_up:
            self._runtime.initialize(self._container)
            self._set_up = True
        self._runtime.put_archive(self._container, target, content)


def _members(chunks: Iterable[bytes]) -> Iterator[tuple[str, Iterator[bytes]]]:
    with tarfile.open(fileobj=cast("IO[bytes]", IteratorFile(chunks)), mode="r|") as outer:
        for member in outer:
            content = outer.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, pieces(content)
