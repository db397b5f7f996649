"""Frozen records that go into and come out of a container engine.

Sizes are bytes, times are seconds, moments are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=200)]


class Spec(BaseModel):
    """A record that is checked when it is made and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContainerState(StrEnum):
    """The states of an engine's container that callers tell apart."""

    CREATED = "created"  # made, never started (also what a failed restore leaves behind)
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"  # stopped, in whatever way; a checkpoint leaves it so
    OTHER = "other"  # on its way between the others, or unknown to us


class HealthCheck(Spec):
    """When a container counts as healthy: ``command`` exits 0 inside it.

    Run by us through exec as the container's own user, never configured in the engine:
    Podman fires a native check at once and as root, which breaks images that drop privileges.
    An empty ``command`` asks only that the container runs.
    """

    command: tuple[str, ...] = ()
    interval_seconds: float = Field(default=1.0, gt=0)
    timeout_seconds: float = Field(default=10.0, gt=0)
    retries: int = Field(default=30, ge=1)
    start_period_seconds: float = Field(default=0.0, ge=0)


class Mount(Spec):
    """One mount of a container. ``source`` is a volume's name, a host path, or empty (tmpfs)."""

    type: Literal["volume", "bind", "tmpfs"]
    source: str = ""
    target: str
    read_only: bool = False
    options: str = ""  # of a tmpfs, as the engine spells them: "size=1m,mode=700"


class Port(Spec):
    """A container port published on the host."""

    container_port: int = Field(ge=1, le=65535)
    host_port: int = Field(ge=1, le=65535)
    host_ip: str = ""
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"


class NetworkAttachment(Spec):
    """A network that a container joins, with its names there."""

    name: str
    aliases: tuple[str, ...] = ()


class RestartPolicy(Spec):
    """What the engine does when the container's process ends."""

    name: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    max_retries: int = Field(default=0, ge=0)


class RunSpec(Spec):
    """How to make a container. ``env`` may hold secrets and is not shown in ``repr``."""

    name: Name
    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None  # None: the image's own
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    labels: dict[str, str] = Field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    networks: tuple[NetworkAttachment, ...] = ()  # empty: the engine's default network
    restart: RestartPolicy = RestartPolicy()
    hostname: str = ""
    user: str = ""
    workdir: str = ""
    stop_signal: str = ""
    stop_timeout_seconds: int | None = None
    tty: bool = False
    # Limits, capabilities and the like: HostConfig entries, spelled as in Docker's Engine API.
    host_config: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def from_inspect(cls, container: Mapping[str, Any]) -> RunSpec:
        """Derive the spec for a cold start from an engine's (Docker-compatible) inspect answer."""
        from runtime.inspecting import run_spec  # that module is built on this one

        return run_spec(container)


class BuildSpec(Spec):
    """How to build an image from a context that is given as a tar stream."""

    tag: str
    containerfile: str = ""  # path in the context; empty: Containerfile, else Dockerfile
    build_args: dict[str, str] = Field(default_factory=dict, repr=False)
    labels: dict[str, str] = Field(default_factory=dict)
    target: str = ""
    no_cache: bool = False


class NetworkSpec(Spec):
    """A bridge network; ``labels`` and the options must match when it is there already."""

    name: Name
    labels: dict[str, str] = Field(default_factory=dict)
    internal: bool = False


class VolumeSpec(Spec):
    """A named local volume."""

    name: Name
    labels: dict[str, str] = Field(default_factory=dict)


class CheckpointSpec(Spec):
    """Options of a checkpoint with export."""

    leave_running: bool = False
    tcp_established: bool = True  # without it a live connection fails the dump, sometimes
    file_locks: bool = True


class RestoreSpec(Spec):
    """Options of a restore. ``name`` empty keeps the archive's name and id; else the id is new."""

    name: str = ""
    tcp_established: bool = True
    file_locks: bool = True
    ignore_static_ip: bool = False
    ignore_static_mac: bool = False
    keep: bool = False  # keep the checkpoint images, and CRIU's log, after the restore


class ExecResult(Spec):
    """What a finished command left. ``output`` is stdout and stderr as they came."""

    exit_code: int
    output: bytes


class ImageInfo(Spec):
    """An image on a host. ``id`` is 64 hex digits without a prefix."""

    id: str
    names: tuple[str, ...] = ()
    size_bytes: int = 0
    from_registry: bool = False  # has a repository digest, so a registry can serve it again


class ContainerSummary(Spec):
    """A line of a container list."""

    id: str
    name: str
    image: str
    state: ContainerState
    labels: dict[str, str] = Field(default_factory=dict)


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
    health: HealthCheck | None = None  # from the image's or the container's own HEALTHCHECK
    spec: RunSpec

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
