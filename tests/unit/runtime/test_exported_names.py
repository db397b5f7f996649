from __future__ import annotations

import inspect

import pytest

import runtime
from runtime import errors, specs

# Renaming or removing one of these breaks whoever imports it; a new one belongs here too.
PUBLIC = [
    "AddressTakenError",
    "BuildFailedError",
    "BuildSpec",
    "BuildStep",
    "CANARY_LABEL",
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


def test_every_exported_name_is_there_once() -> None:
    assert all(hasattr(runtime, name) for name in runtime.__all__)
    assert len(set(runtime.__all__)) == len(runtime.__all__)


@pytest.mark.parametrize(
    ("module", "root"), [(errors, errors.RuntimeEngineError), (specs, specs.Spec)]
)
def test_every_error_and_every_record_is_exported(module: object, root: type) -> None:
    own = {
        name for name, member in inspect.getmembers(module, inspect.isclass) if member is not root
    }
    defined = {name for name in own if issubclass(getattr(module, name), root)}

    assert defined <= set(runtime.__all__)


def test_the_public_names_are_frozen() -> None:
    assert sorted(runtime.__all__) == PUBLIC
