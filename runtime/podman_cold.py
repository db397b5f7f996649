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

    def cold_blocker(self, container: str) -> str:
        """Why no cold copy can be made of a container; see CheckpointRuntime.

        Podman has no call that reads a volume with its owners: the worker must see the volumes.
        """
        info = self.inspect(container)
        hidden = self._inspected(info.id)
        if info.state is not ContainerState.RUNNING:
            return f"it is {info.state}, not running"
        if info.auto_remove:
            return "it was made with --rm and would vanish when it stops"
        try:
            require_readable(self._libpod, hidden)
        except EngineError as error:
            return f"the engine cannot tell what it changed: {error.reason}"
        return next(filter(None, map(self._why_unseen, _volumes(hidden))), "")

    def _why_unseen(self, name: str) -> str:
        """Why the files of a volume cannot be read when its container is stopped, if so."""
        volume = self._volume(name)
        if volume.get("Options") or (volume.get("Driver") or "local") != "local":
            return f"its volume {name!r} is no plain local one: stopped, nobody sees its files"
        seen = seen_by_engine(self.socket, volume["Mountpoint"])
        return "" if seen else str(OutOfSightError(volume["Mountpoint"]))

    def _volume(self, name: str) -> dict[str, Any]:
        operation = f"inspect of volume {name!r}"
        return self._libpod.json(f"/volumes/{name}/json", operation=operation)

    @contextmanager
    def cold_copy(self, container: str, spec: ColdSpec) -> Iterator[CheckpointStream]:
        """Stop a container and stream an archive of its files; see CheckpointRuntime."""
        if reason := self.cold_blocker(container):
            raise CheckpointUnsupportedError(container, reason)
        hidden = self._inspected(container)
        names = () if spec.ignore_volumes else _volumes(hidden)
        with ExitStack() as stack:
            with checkpoint_errors(container):
                self.stop(container, timeout_seconds=spec.stop_timeout_seconds)
                layer = stack.enter_context(layer_of(self._libpod, hidden))
                places = {name: self._place(name) for name in names}
            archive = cold_archive(layer, places)
            stack.callback(archive.close)
            yield CheckpointStream(failing_as_checkpoint(archive, container), {})

    def _place(self, volume: str) -> Path:
        mountpoint = self._volume(volume)["Mountpoint"]
        place = seen_by_engine(self.socket, mountpoint)
        if place is None:
            raise OutOfSightError(mountpoint)
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
            # A line of text, though the API's description says JSON.
            said = b"".join(self._libpod.chunks(answer, operation)).decode(errors="replace")
        root = said.strip().strip('"')
        try:
            yield root
        finally:
            with self._libpod.request("POST", f"{path}/unmount", operation=operation):
                pass


def _volumes(hidden: dict[str, Any]) -> tuple[str, ...]:
    names = (m["Name"] for m in hidden.get("Mounts") or () if m["Type"] == "volume")
    return tuple(dict.fromkeys(names))
