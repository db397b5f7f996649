"""The two surfaces of a container engine. Every method may raise EngineUnavailableError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from runtime.exec_stream import ExecStream
from runtime.pod_specs import PodInfo, PodSpec
from runtime.preflight.facts import Canary, ContainerFacts, HostFacts, Room, TargetFacts
from runtime.specs import (
    BuildSpec,
    BuildStep,
    Capabilities,
    CheckpointSpec,
    ColdSpec,
    ContainerInfo,
    ContainerSummary,
    EngineEvent,
    ExecResult,
    ImageInfo,
    NetworkSpec,
    PullProgress,
    RestartPolicy,
    RestoreSpec,
    RunSpec,
    VolumeSpec,
)
from runtime.streams import Stream

OnLog = Callable[[str], None]
OnStep = Callable[[BuildStep], None]
OnProgress = Callable[[PullProgress], None]


def ignore_step(step: BuildStep) -> None:
    """Do nothing with a build's step."""


def ignore_progress(progress: PullProgress) -> None:
    """Do nothing with a pull's progress."""


@runtime_checkable
class Runtime(Protocol):
    """The standard surface: images, containers, networks and volumes of one host."""

    def ping(self) -> None:
        """Return when the engine answers."""

    def capabilities(self) -> Capabilities:
        """Tell what this engine is and can do; a checkpoint probe runs once and is cached."""

    def build(
        self,
        spec: BuildSpec,
        context: Iterable[bytes],
        *,
        on_log: OnLog,
        on_step: OnStep = ignore_step,
    ) -> ImageInfo:
        """Build an image from a tar stream.

        An exception from ``on_log``, ``on_step`` or ``context`` hangs up, which ends the build:
        no further instruction runs and no image is tagged (Podman lets the running one finish).
        Raises BuildFailedError with the failing step and the last lines, UnsupportedOptionError.
        """

    def pull(
        self, name: str, *, platform: str = "", on_progress: OnProgress = ignore_progress
    ) -> ImageInfo:
        """Pull an image with the engine's own credentials.

        An exception from ``on_progress`` ends it. Raises ImageNotFoundError if its registry has
        none, else PullFailedError.
        """

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

        Raises ImageNotFoundError, ContainerExistsError, NetworkNotFoundError,
        UnsupportedOptionError.
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
        tty: bool = False,
        timeout_seconds: float = 60.0,
    ) -> ExecResult:
        """Run a command to its end as the container's user. Raises ExecFailedError."""

    def exec_stream(
        self,
        container: str,
        command: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        tty: bool = False,
    ) -> ExecStream:
        """Run a command and stream what it says; the stream has the exit code at its end.

        ``stdin`` is sent in the background and then closed; a terminal's reader is told of the end
        by a Ctrl-D (0x04) only. Raises ExecFailedError, at the latest when the stream ends; so too
        for a start that the engine lost, which exec makes again: its words are passed on by then.
        """

    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container by name or id. Raises ContainerNotFoundError."""

    def logs(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Stream[bytes]:
        """Stream what the container wrote: the last ``tail`` lines of it, and ``since`` a moment.

        ``follow`` goes on until the container stops or the stream is closed.
        """

    def events(
        self, *, labels: Mapping[str, str] | None = None, since: datetime | None = None
    ) -> Stream[EngineEvent]:
        """Stream what happens on the host, to what carries all ``labels``, until it is closed."""

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
        """Create a network; one that has the labels and options asked for is no error.

        Raises NetworkExistsError for any other of that name, UnsupportedOptionError.
        """

    def network(self, name: str) -> NetworkSpec:
        """Describe a network, so that another host can be given the same.

        Raises NetworkNotFoundError.
        """

    def network_exists(self, name: str) -> bool:
        """Tell whether a network of this name is there."""

    def remove_network(self, name: str) -> None:
        """Remove a network; one that is absent is no error. Raises NetworkInUseError."""

    def create_volume(self, spec: VolumeSpec) -> None:
        """Create a volume; one that has the labels, driver and options asked for is no error.

        Raises VolumeExistsError for any other of that name.
        """

    def volume(self, name: str) -> VolumeSpec:
        """Describe a volume, so that another host can be given the same.

        Raises VolumeNotFoundError.
        """

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

    def cold_blocker(self, container: str) -> str:
        """Why no cold copy can be made of a running container; empty when one can.

        Raises ContainerNotFoundError.
        """

    def cold_copy(self, container: str, spec: ColdSpec) -> AbstractContextManager[CheckpointStream]:
        """Stop a container and stream an archive of its files, without its memory.

        A checkpoint's archive (an uncompressed tar) of which there are only the writable layer, in
        front, and the volumes; nothing restores it, ``put_archive`` and ``remove_paths`` unpack it.
        The container is stopped when the context is entered, and starts anew from its files. Needs
        no CRIU. Raises CheckpointUnsupportedError before any work, CheckpointFailedError,
        ContainerNotFoundError.
        """

    def remove_paths(self, container: str, paths: Iterable[str]) -> None:
        """Remove files and directories ("/a/b") of a created container that was not set up yet.

        Absent ones are no error; no symbolic link is followed. Raises ContainerNotFoundError,
        OutOfSightError where the engine's files cannot be reached.
        """

    def restore(self, chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        """Restore a container from an archive stream; return its id.

        ``archive`` names it in errors. An exception from ``chunks`` cuts the stream, so that the
        engine refuses it, and is raised again as it was. Raises RestoreFailedError,
        ContainerExistsError, ImageNotFoundError.
        """

    def restore_in_place(self, container: str, spec: RestoreSpec) -> None:
        """Bring a checkpointed container back with its memory, where it was stopped."""

    def kept_apart(
        self, networks: Iterable[str], *, everyone: bool = False
    ) -> AbstractContextManager[Callable[[], None]]:
        """Keep containers that come to these networks from now on from reaching anybody.

        ``everyone`` means those too that are there already: one that never stopped may be connected
        to one that comes back.

        The context gives what cuts them off: call it whenever one was restored. A packet that one
        sends while another has its address but not yet its sockets would be answered with a reset,
        and their connection be lost. At the end of the context all may talk. Where the host's
        network is out of reach nothing is cut off.
        """

    def pod(self, name: str) -> PodInfo:
        """Describe a pod by name or id. Raises PodNotFoundError."""

    def pod_exists(self, name: str) -> bool:
        """Tell whether a pod of this name is there."""

    def create_pod(self, spec: PodSpec) -> None:
        """Create a pod, not started. Raises PodExistsError."""

    def remove_pod(self, name: str) -> None:
        """Remove a pod that has no containers but the engine's own; an absent one is no error.

        Raises PodInUseError.
        """

    def hold_pod(self, name: str) -> None:
        """Have a pod run and keep silent until its release, while its containers come and go.

        Its network outlives them: what is sent to one that is away, from within the pod or outside,
        would be answered with a reset, and the connection be lost. Where that network is out of
        reach it is not silenced. Raises PodNotFoundError.
        """

    def release_pod(self, name: str) -> None:
        """Let a pod that was held talk; one that was not held is no error."""

    def forget_connections(self, addresses: Iterable[str]) -> int:
        """Make this host forget connections from and to addresses that a restore will claim.

        What it remembers of a container that was here before would make its firewall drop the
        packets of a restored connection. Returns how many it knew; none where it cannot be asked.
        """

    def initialize(self, container: str) -> None:
        """Set a created container up, all but its process: its volumes are mounted and owned.

        The engine gives a volume's root to the container's user when it is first mounted; what is
        unpacked afterwards keeps its owner. Raises ContainerNotFoundError.
        """

    def host_facts(self) -> HostFacts:
        """Tell what a move must know of this host; its canary is left out."""

    def room(self, host: HostFacts) -> Room:
        """Tell what this host, as ``host_facts`` found it, has left now; cheap, and never waits."""

    def memory_used(self) -> dict[str, int]:
        """Resident bytes of each running container's processes, by its id; those that are seen."""

    def container_facts(self, container: str) -> ContainerFacts:
        """Tell what a move must know of a container here. Raises ContainerNotFoundError."""

    def target_facts(self, container: ContainerFacts, host: HostFacts) -> TargetFacts:
        """Tell what this host, as ``host_facts`` found it, holds of another host's container.

        What was archived elsewhere is for the caller to add.
        """

    def canary(self) -> Canary:
        """Checkpoint and restore a tiny container now, to prove that CRIU works here."""
