"""The two surfaces of a container engine. Every method may raise EngineUnavailableError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from runtime.specs import (
    BuildSpec,
    Capabilities,
    CheckpointSpec,
    ContainerInfo,
    ContainerSummary,
    ExecResult,
    ImageInfo,
    NetworkSpec,
    RestartPolicy,
    RestoreSpec,
    RunSpec,
    VolumeSpec,
)

OnLog = Callable[[str], None]


@runtime_checkable
class Runtime(Protocol):
    """The standard surface: images, containers, networks and volumes of one host."""

    def ping(self) -> None:
        """Return when the engine answers."""

    def capabilities(self) -> Capabilities:
        """Tell what this engine is and can do; a checkpoint probe runs once and is cached."""

    def build(self, spec: BuildSpec, context: Iterable[bytes], *, on_log: OnLog) -> ImageInfo:
        """Build an image from a tar stream. Raises BuildFailedError with the last lines."""

    def image(self, name: str) -> ImageInfo:
        """Describe a local image by name or id. Raises ImageNotFoundError."""

    def save_image(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream an image as a docker-archive tar, which keeps its id."""

    def load_image(self, chunks: Iterable[bytes]) -> None:
        """Load a docker-archive tar stream."""

    def remove_image(self, name: str, *, force: bool = False) -> None:
        """Remove an image; one that is absent is no error."""

    def run(self, spec: RunSpec) -> str:
        """Create a container, not started; return its id.

        Raises ImageNotFoundError, ContainerExistsError, UnsupportedOptionError.
        """

    def start(self, container: str) -> None:
        """Start a container; one that runs is no error."""

    def stop(self, container: str, *, timeout_seconds: int | None = None) -> None:
        """Stop a container; one that is stopped is no error."""

    def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container (and its anonymous volumes); one that is absent is no error."""

    def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        timeout_seconds: float = 60.0,
    ) -> ExecResult:
        """Run a command to its end as the container's user. Raises ExecFailedError."""

    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container by name or id. Raises ContainerNotFoundError."""

    def logs(self, container: str, *, tail: int | None = None) -> Iterator[bytes]:
        """Yield what the container wrote so far."""

    def containers(self) -> list[ContainerSummary]:
        """List every container of the host, running or not."""

    def find_containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """List containers that carry all ``labels``. An empty filter raises ValueError."""

    def find_images(self, labels: Mapping[str, str]) -> list[ImageInfo]:
        """List images that carry all ``labels``. An empty filter raises ValueError."""

    def update_restart_policy(self, container: str, policy: RestartPolicy) -> None:
        """Change what happens when the container's process ends."""

    def put_archive(self, container: str, path: str, chunks: Iterable[bytes]) -> None:
        """Unpack a tar stream at ``path`` in a container (a created one will do)."""

    def get_archive(self, container: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream ``path`` of a container as a tar."""

    def create_network(self, spec: NetworkSpec) -> None:
        """Create a network; one of the same name and labels is no error."""

    def network_exists(self, name: str) -> bool:
        """Tell whether a network of this name is there."""

    def remove_network(self, name: str) -> None:
        """Remove a network; one that is absent is no error."""

    def create_volume(self, spec: VolumeSpec) -> None:
        """Create a volume; one of the same name and labels is no error (VolumeExistsError else)."""

    def volume_exists(self, name: str) -> bool:
        """Tell whether a volume of this name is there."""

    def volume_users(self, name: str) -> tuple[str, ...]:
        """Ids of the containers, running or not, that mount the volume."""

    def remove_volume(self, name: str) -> None:
        """Remove a volume; an absent one is no error. Raises VolumeInUseError."""


class CheckpointStream(Iterator[bytes]):
    """An archive's bytes, and CRIU's ``statistics`` of the dump once they have gone by.

    Times in them are microseconds. An engine that tells nothing leaves them empty.
    """

    def __init__(self, chunks: Iterable[bytes], statistics: Mapping[str, int]) -> None:
        self._chunks = iter(chunks)
        self.statistics = statistics

    def __next__(self) -> bytes:
        """Give the next piece."""
        return next(self._chunks)


@runtime_checkable
class CheckpointRuntime(Runtime, Protocol):
    """A Runtime that can carry a process's memory."""

    def unkept(self, container: str) -> tuple[str, ...]:
        """Name what a checkpoint and a restore elsewhere would not keep of a container.

        Sentences for people, none if all is kept. Nothing of it keeps a move from working.
        Raises ContainerNotFoundError.
        """

    def checkpoint(
        self, container: str, spec: CheckpointSpec
    ) -> AbstractContextManager[CheckpointStream]:
        """Checkpoint a container and stream the archive (an uncompressed tar).

        The container is stopped when the first byte arrives (unless ``leave_running``) and keeps
        its checkpoint in place until it is removed or restored. Leaving the context early hangs
        up; the in-place checkpoint stays. Raises CheckpointUnsupportedError before any work,
        CheckpointFailedError, ContainerNotFoundError.
        """

    def restore(self, chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        """Restore a container from an archive stream; return its id.

        ``archive`` names it in errors. An exception from ``chunks`` cuts the stream, so that the
        engine refuses it, and is raised again as it was. Raises RestoreFailedError,
        ContainerExistsError, ImageNotFoundError.
        """

    def restore_in_place(self, container: str, spec: RestoreSpec) -> None:
        """Bring a checkpointed container back with its memory, where it was stopped."""
