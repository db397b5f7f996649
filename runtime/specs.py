"""Frozen records that go into and come out of a container engine.

Sizes are bytes, times are seconds, moments are aware datetimes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from runtime.object_specs import NetworkSpec, Subnet, VolumeSpec
from runtime.records import Spec
from runtime.run_parts import (
    Device,
    Dns,
    HealthCheck,
    Limits,
    Logging,
    Mount,
    Namespaces,
    NetworkAttachment,
    Port,
    RestartPolicy,
    Security,
    Ulimit,
)
from runtime.run_spec import RunSpec

__all__ = [
    "BuildSpec",
    "BuildStep",
    "Capabilities",
    "CheckpointSpec",
    "ColdSpec",
    "ContainerInfo",
    "ContainerState",
    "ContainerSummary",
    "Device",
    "Dns",
    "EngineEvent",
    "ExecResult",
    "HealthCheck",
    "ImageInfo",
    "Limits",
    "Logging",
    "Mount",
    "Namespaces",
    "NetworkAttachment",
    "NetworkSpec",
    "OutputChunk",
    "Port",
    "PullProgress",
    "RestartPolicy",
    "RestoreSpec",
    "RunSpec",
    "Security",
    "Spec",
    "Subnet",
    "Ulimit",
    "VolumeSpec",
]


class ContainerState(StrEnum):
    """The states of an engine's container that callers tell apart."""

    CREATED = "created"  # made, never started (also what a failed restore leaves behind)
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"  # stopped, in whatever way; a checkpoint leaves it so
    OTHER = "other"  # on its way between the others, or unknown to us


class BuildSpec(Spec):
    """How to build an image from a context that is given as a tar stream.

    ``secrets`` are seen by ``RUN --mount=type=secret,id=NAME`` only and stay out of the image.
    """

    tag: str
    containerfile: str = ""  # path in the context; empty: Containerfile, else Dockerfile
    build_args: dict[str, str] = Field(default_factory=dict, repr=False)
    labels: dict[str, str] = Field(default_factory=dict)
    target: str = ""
    platform: str = ""  # "linux/arm64"; empty: the engine's own
    no_cache: bool = False
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)


class BuildStep(Spec):
    """One instruction of a build, as its log announces it; counts begin at 1."""

    number: int
    total: int
    instruction: str
    stage: int = 1
    stages: int = 1


class PullProgress(Spec):
    """What a pull says of one layer, or of the whole when ``layer`` is empty; 0 is unknown."""

    layer: str = ""
    status: str
    current_bytes: int = 0
    total_bytes: int = 0


class CheckpointSpec(Spec):
    """Options of a checkpoint with export. CRIU's statistics lie in the archive as stats-dump."""

    leave_running: bool = False
    tcp_established: bool = True  # without it a live connection fails the dump, sometimes
    file_locks: bool = True
    ignore_rootfs: bool = False  # leave the writable layer out of the archive
    keep: bool = False  # keep CRIU's logs and statistics on the host


class ColdSpec(Spec):
    """Options of a cold copy. ``stop_timeout_seconds`` None: as the container was made."""

    stop_timeout_seconds: int | None = None  # how long its process may take to end; 0: none
    ignore_volumes: bool = False  # another container's archive holds them


class RestoreSpec(Spec):
    """Options of a restore. ``name`` empty keeps the archive's name and id; else the id is new."""

    name: str = ""
    tcp_established: bool = True
    file_locks: bool = True
    ignore_rootfs: bool = False  # start from the image's files
    ignore_volumes: bool = False  # use the volumes that are there, do not unpack the archive's
    ignore_static_ip: bool = False
    ignore_static_mac: bool = False
    publish: tuple[Port, ...] = ()  # in place of the archive's ports
    pod: str = ""  # restore into this pod
    keep: bool = False  # keep the checkpoint images, and CRIU's log


class ExecResult(Spec):
    """What a finished command left. ``output`` is stdout and stderr as they came."""

    exit_code: int
    output: bytes


class OutputChunk(Spec):
    """A piece of what a command says; with a terminal all of it is ``stdout``."""

    stream: Literal["stdout", "stderr"]
    data: bytes


class EngineEvent(Spec):
    """Something that happened on the host: ``kind`` is "container", "image", "volume" …"""

    kind: str
    action: str  # "start", "die", "create", "pull" …
    id: str
    name: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)  # a container's labels among them
    at: AwareDatetime


class ImageInfo(Spec):
    """An image on a host. ``id`` is 64 hex digits without a prefix."""

    id: str
    names: tuple[str, ...] = ()
    size_bytes: int = 0
    from_registry: bool = False  # has a repository digest, so a registry can serve it again
    labels: dict[str, str] = Field(default_factory=dict)
    architecture: str = ""  # of a list's entries it is not known


class ContainerSummary(Spec):
    """A line of a container list."""

    id: str
    name: str
    image: str
    state: ContainerState
    labels: dict[str, str] = Field(default_factory=dict)
    pod: str = ""  # the name of its pod
    infra: bool = False  # it only holds its pod's namespaces


class ContainerInfo(Spec):
    """One container as its engine describes it. ``id`` is 64 hex digits, ``pid`` 0 when stopped."""

    id: str
    name: str
    image: str  # the name the container was made from
    image_id: str  # 64 hex digits without a prefix
    state: ContainerState
    pid: int = 0
    exit_code: int = 0
    auto_remove: bool = False
    checkpointed: bool = False  # stopped by a checkpoint whose images are still in place
    dependencies: tuple[str, ...] = ()
    pod: str = ""
    spec: RunSpec

    @property
    def health(self) -> HealthCheck | None:
        """Its check, the image's or its own; None when there is none or it was switched off."""
        return self.spec.health if self.spec.health and self.spec.health.command else None

    @property
    def volumes(self) -> tuple[str, ...]:
        """Names of its volumes, named and anonymous, in the order of its mounts."""
        return tuple(m.source for m in self.spec.mounts if m.type == "volume")


class Capabilities(Spec):
    """What a backend can do on this host, found out at run time."""

    engine: str  # "podman" or "docker"
    version: str
    api_version: str
    checkpoint: bool
    checkpoint_reason: str = ""  # why not, when ``checkpoint`` is False
    prefer_self_probed_health: bool = False
    oci_runtime: str = ""
    architecture: str = ""
    kernel: str = ""
    rootless: bool = False
