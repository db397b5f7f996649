"""A container of a Podman host without its process: its files on their way out, and back in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from runtime.dumping import checkpoint_errors, failing_as_checkpoint
from runtime.errors import (
    CheckpointUnsupportedError,
    ContainerNotFoundError,
    EngineError,
    OutOfSightError,
)
from runtime.fidelity import cold_archive, layer_of, remove_below, require_readable, seen_by_engine
from runtime.libpod import LibpodClient
from runtime.protocols import CheckpointStream
from runtime.specs import ColdSpec, ContainerInfo, ContainerState


class PodmanCold:
    """Cold copies of the containers that libpod's API serves on ``socket``."""

    socket: str
    stop: Callable[..., None]
    inspect: Callable[[str], ContainerInfo]
    _libpod: LibpodClient
    _inspected: Callable[[str], dict[str, Any]]

    @contextmanager
    def cold_copy(self, container: str, spec: ColdSpec) -> Iterator[CheckpointStream]:
        """Stop a container and stream an archive of its files; see CheckpointRuntime.

        Podman has no call that reads a volume with its owners: the worker must see the volumes.
        """
        info = self.inspect(container)
        hidden = self._inspected(info.id)
        self._require_copyable(container, info, hidden)
        volumes = {} if spec.ignore_volumes else self._volumes_in_sight(container, hidden)
        with ExitStack() as stack:
            with checkpoint_errors(container):
                self.stop(info.id, timeout_seconds=_patience(spec, info))
                layer = stack.enter_context(layer_of(self._libpod, hidden))
            archive = cold_archive(layer, volumes)
            stack.callback(archive.close)
            yield CheckpointStream(failing_as_checkpoint(archive, container), {})

    def _require_copyable(
        self, container: str, info: ContainerInfo, hidden: dict[str, Any]
    ) -> None:
        if info.state is not ContainerState.RUNNING:
            raise CheckpointUnsupportedError(container, f"it is {info.state}, not running")
        if info.auto_remove:
            reason = "it was made with --rm and would vanish when it stops"
            raise CheckpointUnsupportedError(container, reason)
        try:
            require_readable(self._libpod, hidden)
        except EngineError as error:
            reason = f"the engine cannot tell what it changed: {error.reason}"
            raise CheckpointUnsupportedError(container, reason) from error

    def _volumes_in_sight(self, container: str, hidden: dict[str, Any]) -> dict[str, Path]:
        """Where the files of its volumes are when it is stopped."""
        names = [m["Name"] for m in hidden.get("Mounts") or () if m["Type"] == "volume"]
        return {name: self._volume_in_sight(container, name) for name in dict.fromkeys(names)}

    def _volume_in_sight(self, container: str, name: str) -> Path:
        operation = f"inspect of volume {name!r}"
        volume = self._libpod.json(f"/volumes/{name}/json", operation=operation)
        if volume.get("Options") or (volume.get("Driver") or "local") != "local":
            reason = f"its volume {name!r} is no plain local one: stopped, nobody sees its files"
            raise CheckpointUnsupportedError(container, reason)
        place = seen_by_engine(self.socket, volume["Mountpoint"])
        if place is None:
            reason = str(OutOfSightError(volume["Mountpoint"]))
            raise CheckpointUnsupportedError(container, reason)
        return place

    def remove_paths(self, container: str, paths: Iterable[str]) -> None:
        """Remove files of a created container; see CheckpointRuntime."""
        with self._mounted(container) as root:
            place = seen_by_engine(self.socket, root)
            # Where the mount itself is out of sight there is an empty directory.
            if place is None or not any(place.iterdir()):
                raise OutOfSightError(root)
            try:
                remove_below(place, paths)
            except OSError as error:
                raise EngineError(f"removal of files of {container!r}", str(error)) from error

    @contextmanager
    def _mounted(self, container: str) -> Iterator[str]:
        """Have a container's root mounted on the host; gives its path there."""
        path, operation = f"/containers/{container}", f"mount of {container!r}"
        missing = {"no such container": ContainerNotFoundError(container)}
        mount = self._libpod.request("POST", f"{path}/mount", operation=operation, on=missing)
        with mount as answer:
            root = str(self._libpod.parsed(answer, operation))
        try:
            yield root
        finally:
            with self._libpod.request("POST", f"{path}/unmount", operation=operation):
                pass


def _patience(spec: ColdSpec, info: ContainerInfo) -> int | None:
    if spec.stop_timeout_seconds is None:
        return info.spec.stop_timeout_seconds
    return spec.stop_timeout_seconds
