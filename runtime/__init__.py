"""One host's container engine: run, checkpoint and restore containers through its socket."""

from importlib import import_module
from typing import TYPE_CHECKING

from runtime.errors import (
    AddressTakenError,
    BuildFailedError,
    CheckpointFailedError,
    CheckpointUnsupportedError,
    ContainerExistsError,
    ContainerNotFoundError,
    EngineError,
    EngineUnavailableError,
    ExecFailedError,
    ImageNotFoundError,
    NetworkExistsError,
    NetworkInUseError,
    NetworkNotFoundError,
    NotACheckpointError,
    OutOfSightError,
    PodExistsError,
    PodInUseError,
    PodNotFoundError,
    PullFailedError,
    RestoreFailedError,
    RuntimeEngineError,
    UnsupportedOptionError,
    VolumeExistsError,
    VolumeInUseError,
    VolumeNotFoundError,
)
from runtime.exec_stream import (
    ExecStream,
)
from runtime.exported_spec import (
    ExportedContainer,
)
from runtime.pod_specs import (
    PodInfo,
    PodSpec,
)
from runtime.preflight import (
    Finding,
    Severity,
    blockers,
    machine_findings,
    move_findings,
    needs_new_address,
    pod_findings,
    pod_target_findings,
    source_findings,
)
from runtime.preflight.facts import (
    Canary,
    CanaryState,
    ContainerFacts,
    HostFacts,
    Room,
    TargetFacts,
)
from runtime.protocols import (
    CheckpointRuntime,
    CheckpointStream,
    Runtime,
)
from runtime.specs import (
    BuildSpec,
    BuildStep,
    Capabilities,
    CheckpointSpec,
    ColdSpec,
    ContainerInfo,
    ContainerState,
    ContainerSummary,
    Device,
    Dns,
    EngineEvent,
    ExecResult,
    HealthCheck,
    ImageInfo,
    Limits,
    Logging,
    Mount,
    Namespaces,
    NetworkAttachment,
    NetworkSpec,
    OutputChunk,
    Port,
    PullProgress,
    RestartPolicy,
    RestoreSpec,
    RunSpec,
    Security,
    Subnet,
    Ulimit,
    VolumeSpec,
)
from runtime.streams import (
    Stream,
)

if TYPE_CHECKING:
    from runtime.canary_image import CANARY_LABEL
    from runtime.context import build_context, containerfile_name
    from runtime.docker import DockerRuntime
    from runtime.exported import ExportReader
    from runtime.fake import FakeRuntime
    from runtime.podman import PodmanRuntime
else:
    # Imported when asked for: the engine's client libraries take longer to import than most
    # commands take to run, and those commands talk to no engine.
    _MODULES = {
        "CANARY_LABEL": "canary_image",
        "DockerRuntime": "docker",
        "ExportReader": "exported",
        "FakeRuntime": "fake",
        "PodmanRuntime": "podman",
        "build_context": "context",
        "containerfile_name": "context",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = [
    "CANARY_LABEL",
    "AddressTakenError",
    "BuildFailedError",
    "BuildSpec",
    "BuildStep",
    "Canary",
    "CanaryState",
    "Capabilities",
    "CheckpointFailedError",
    "CheckpointRuntime",
    "CheckpointSpec",
    "CheckpointStream",
    "CheckpointUnsupportedError",
    "ColdSpec",
    "ContainerExistsError",
    "ContainerFacts",
    "ContainerInfo",
    "ContainerNotFoundError",
    "ContainerState",
    "ContainerSummary",
    "Device",
    "Dns",
    "DockerRuntime",
    "EngineError",
    "EngineEvent",
    "EngineUnavailableError",
    "ExecFailedError",
    "ExecResult",
    "ExecStream",
    "ExportReader",
    "ExportedContainer",
    "FakeRuntime",
    "Finding",
    "HealthCheck",
    "HostFacts",
    "ImageInfo",
    "ImageNotFoundError",
    "Limits",
    "Logging",
    "Mount",
    "Namespaces",
    "NetworkAttachment",
    "NetworkExistsError",
    "NetworkInUseError",
    "NetworkNotFoundError",
    "NetworkSpec",
    "NotACheckpointError",
    "OutOfSightError",
    "OutputChunk",
    "PodExistsError",
    "PodInUseError",
    "PodInfo",
    "PodNotFoundError",
    "PodSpec",
    "PodmanRuntime",
    "Port",
    "PullFailedError",
    "PullProgress",
    "RestartPolicy",
    "RestoreFailedError",
    "RestoreSpec",
    "Room",
    "RunSpec",
    "Runtime",
    "RuntimeEngineError",
    "Security",
    "Severity",
    "Stream",
    "Subnet",
    "TargetFacts",
    "Ulimit",
    "UnsupportedOptionError",
    "VolumeExistsError",
    "VolumeInUseError",
    "VolumeNotFoundError",
    "VolumeSpec",
    "blockers",
    "build_context",
    "containerfile_name",
    "machine_findings",
    "move_findings",
    "needs_new_address",
    "pod_findings",
    "pod_target_findings",
    "source_findings",
]
