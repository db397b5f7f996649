"""What can go wrong on one host's container engine. Callers decide by type."""

from __future__ import annotations


class RuntimeEngineError(Exception):
    """Root of every error this package raises on purpose.

    All arguments are kept in ``args``, so that an error survives pickling between processes.
    """


class EngineUnavailableError(RuntimeEngineError):
    """The engine's socket does not answer. Nothing was changed; trying again is safe."""

    def __init__(self, socket: str, reason: str) -> None:
        super().__init__(socket, reason)
        self.socket = socket
        self.reason = reason

    def __str__(self) -> str:
        return f"the container engine at {self.socket} does not answer: {self.reason}"


class EngineError(RuntimeEngineError):
    """The engine refused or failed an operation for a reason that has no type of its own."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation} failed: {self.reason}"


class ContainerNotFoundError(RuntimeEngineError):
    """No container has this name or id on this host."""

    def __init__(self, container: str) -> None:
        super().__init__(container)
        self.container = container

    def __str__(self) -> str:
        return f"no container {self.container!r} on this host"


class ContainerExistsError(RuntimeEngineError):
    """A container of this name or id is already on this host."""

    def __init__(self, container: str) -> None:
        super().__init__(container)
        self.container = container

    def __str__(self) -> str:
        return f"a container {self.container!r} is already on this host"


class ImageNotFoundError(RuntimeEngineError):
    """The image is not on this host (and was not to be pulled)."""

    def __init__(self, image: str) -> None:
        super().__init__(image)
        self.image = image

    def __str__(self) -> str:
        return f"no image {self.image!r} on this host"


class PullFailedError(RuntimeEngineError):
    """An image could not be pulled, for another reason than that its registry has none."""

    def __init__(self, image: str, reason: str) -> None:
        super().__init__(image, reason)
        self.image = image
        self.reason = reason

    def __str__(self) -> str:
        return f"pulling {self.image!r} failed: {self.reason}"


class NetworkNotFoundError(RuntimeEngineError):
    """No network has this name on this host."""

    def __init__(self, network: str) -> None:
        super().__init__(network)
        self.network = network

    def __str__(self) -> str:
        return f"no network {self.network!r} on this host"


class NetworkExistsError(RuntimeEngineError):
    """A network of this name is on this host already, with other labels or options."""

    def __init__(self, network: str) -> None:
        super().__init__(network)
        self.network = network

    def __str__(self) -> str:
        return f"a network {self.network!r} with other labels or options is already on this host"


class NetworkInUseError(RuntimeEngineError):
    """The network cannot be removed while a container uses it."""

    def __init__(self, network: str) -> None:
        super().__init__(network)
        self.network = network

    def __str__(self) -> str:
        return f"network {self.network!r} is used by a container"


class PodNotFoundError(RuntimeEngineError):
    """No pod has this name on this host."""

    def __init__(self, pod: str) -> None:
        super().__init__(pod)
        self.pod = pod

    def __str__(self) -> str:
        return f"no pod {self.pod!r} on this host"


class PodExistsError(RuntimeEngineError):
    """A pod of this name is already on this host."""

    def __init__(self, pod: str) -> None:
        super().__init__(pod)
        self.pod = pod

    def __str__(self) -> str:
        return f"a pod {self.pod!r} is already on this host"


class PodInUseError(RuntimeEngineError):
    """The pod is not removed while it has containers."""

    def __init__(self, pod: str, containers: tuple[str, ...]) -> None:
        super().__init__(pod, containers)
        self.pod = pod
        self.containers = containers

    def __str__(self) -> str:
        return f"pod {self.pod!r} still has containers: {', '.join(self.containers)}"


class VolumeNotFoundError(RuntimeEngineError):
    """No volume has this name on this host."""

    def __init__(self, volume: str) -> None:
        super().__init__(volume)
        self.volume = volume

    def __str__(self) -> str:
        return f"no volume {self.volume!r} on this host"


class VolumeExistsError(RuntimeEngineError):
    """A volume of this name is on this host already, with other labels or other content."""

    def __init__(self, volume: str) -> None:
        super().__init__(volume)
        self.volume = volume

    def __str__(self) -> str:
        return f"a volume {self.volume!r} is already on this host"


class VolumeInUseError(RuntimeEngineError):
    """The volume cannot be removed while a container uses it."""

    def __init__(self, volume: str) -> None:
        super().__init__(volume)
        self.volume = volume

    def __str__(self) -> str:
        return f"volume {self.volume!r} is used by a container"


class ExecFailedError(RuntimeEngineError):
    """A command could not be started in a container (its own exit code is not an error)."""

    def __init__(self, container: str, command: str, reason: str) -> None:
        super().__init__(container, command, reason)
        self.container = container
        self.command = command
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot run {self.command!r} in {self.container!r}: {self.reason}"


class BuildFailedError(RuntimeEngineError):
    """An image build ended with an error.

    ``step`` is the instruction that failed ("3/7: RUN make"), empty before the first; ``tail``
    holds the last log lines.
    """

    def __init__(self, image: str, reason: str, tail: tuple[str, ...] = (), step: str = "") -> None:
        super().__init__(image, reason, tail, step)
        self.image = image
        self.reason = reason
        self.tail = tail
        self.step = step

    def __str__(self) -> str:
        at = f" at step {self.step}" if self.step else ""
        return f"building {self.image!r} failed{at}: {self.reason}"


class CheckpointUnsupportedError(RuntimeEngineError):
    """This engine, or this container, cannot be checkpointed. Raised before any work."""

    def __init__(self, container: str, reason: str) -> None:
        super().__init__(container, reason)
        self.container = container
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.container!r} cannot be checkpointed: {self.reason}"


class OutOfSightError(RuntimeEngineError):
    """The worker cannot reach a file of the engine's host that the work needs."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"the worker cannot reach {self.path} on the engine's host; run it there, as root"


class CheckpointFailedError(RuntimeEngineError):
    """The engine began a checkpoint and failed. ``log_tail`` is CRIU's own, when it can be had."""

    def __init__(self, container: str, reason: str, log_tail: str = "") -> None:
        super().__init__(container, reason, log_tail)
        self.container = container
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"checkpoint of {self.container!r} failed: {self.reason}"


class RestoreFailedError(RuntimeEngineError):
    """The engine could not restore an archive; the caller falls back to a cold start."""

    def __init__(self, archive: str, reason: str, log_tail: str = "") -> None:
        super().__init__(archive, reason, log_tail)
        self.archive = archive
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"restore of {self.archive!r} failed: {self.reason}"


class AddressTakenError(RestoreFailedError):
    """Another container has an address that the restored one had; it can be given a new one."""


class UnsupportedOptionError(RuntimeEngineError):
    """An option this backend cannot honour. It is refused, never dropped."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(option, reason)
        self.option = option
        self.reason = reason

    def __str__(self) -> str:
        return f"option {self.option!r} is not supported here: {self.reason}"


class NotACheckpointError(RuntimeEngineError):
    """A file that is no checkpoint which Podman exported, or only a part of one."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.file} is no checkpoint that Podman could restore: {self.reason}; "
            "make one with: podman container checkpoint --export FILE NAME"
        )
