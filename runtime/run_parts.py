"""The parts of a RunSpec. Sizes are bytes, times are seconds, empty means the engine's default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from runtime.records import Spec

Propagation = Literal["", "private", "rprivate", "shared", "rshared", "slave", "rslave"]


class HealthCheck(Spec):
    """When a container counts as healthy: ``command`` exits 0 inside it.

    The fields mean what Docker means by them. Podman fires a native check at once and as root,
    which breaks images that drop privileges; so it is not told of the check: whoever waits for the
    container asks through exec, as the container's own user. An empty ``command`` asks only that
    the container runs; in a RunSpec it switches the image's own check off.
    """

    command: tuple[str, ...] = ()
    interval_seconds: float = Field(default=1.0, gt=0)
    timeout_seconds: float = Field(default=10.0, gt=0)  # of one run of the command
    retries: int = Field(default=30, ge=1)  # failures in a row that make it unhealthy
    start_period_seconds: float = Field(default=0.0, ge=0)  # failures in it do not count
    start_interval_seconds: float = Field(default=5.0, gt=0)  # between two runs in that period

    @classmethod
    def from_compose(cls, entry: Mapping[str, object]) -> HealthCheck:
        """Read the ``healthcheck`` of a compose file, with the engines' defaults.

        ``test`` is a shell command or a list that begins with CMD, CMD-SHELL or NONE; times are
        "30s", "1m30s". Raises ValueError, naming the key, for anything else.
        """
        from runtime.health_forms import from_compose  # that module is built on this one

        return from_compose(entry)


class Mount(Spec):
    """One mount of a container. ``source`` is a volume's name, a host path, or empty.

    Empty makes an anonymous volume, or belongs to a tmpfs. ``options`` are comma-separated as the
    engine spells them: of a tmpfs ``size=1m,mode=700``, of others what Podman's ``--volume`` takes
    besides the fields here (``noexec``, ``U``, ``z``).
    """

    type: Literal["volume", "bind", "tmpfs"]
    source: str = ""
    target: str
    read_only: bool = False
    propagation: Propagation = ""  # of a bind
    recursive: bool = True  # of a bind: with the mounts below its source
    no_copy: bool = False  # of a volume: without what the image has at the target
    options: str = ""


class Port(Spec):
    """A container port published on the host; ``host_port`` 0 lets the engine choose one."""

    container_port: int = Field(ge=1, le=65535)
    host_port: int = Field(ge=0, le=65535)
    host_ip: str = ""
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"


class NetworkAttachment(Spec):
    """A network that a container joins, with its names and, if they are fixed, addresses there.

    ``host``, ``none`` and ``container:ID`` are modes and stand alone.
    """

    name: str
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""

    @property
    def is_mode(self) -> bool:
        """Tell a mode from a network."""
        return self.name in ("host", "none") or ":" in self.name

    @property
    def fixed(self) -> dict[str, str]:
        """The addresses that were asked for."""
        return {key: value for key in ("ipv4", "ipv6", "mac") if (value := getattr(self, key))}


class RestartPolicy(Spec):
    """What the engine does when the container's process ends."""

    name: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    max_retries: int = Field(default=0, ge=0)


class Ulimit(Spec):
    """A limit of the process, as setrlimit(2) names it (``nofile``); -1 is no limit."""

    name: str
    soft: int
    hard: int


class Limits(Spec):
    """What a container may use. None, 0 and empty leave it to the engine."""

    memory_bytes: int = 0
    memory_swap_bytes: int = 0  # memory and swap together; -1 is no limit
    memory_reservation_bytes: int = 0
    cpus: float = Field(default=0, ge=0)  # 0.5 is half of one
    cpu_shares: int = 0
    cpu_period_microseconds: int = 0
    cpu_quota_microseconds: int = 0
    cpuset_cpus: str = ""  # "0-2,7"
    cpuset_mems: str = ""
    pids: int | None = None  # 0 is no limit
    shm_bytes: int = 0
    oom_score_adj: int = 0
    ulimits: tuple[Ulimit, ...] = ()


class Dns(Spec):
    """How a container resolves names; empty takes the host's."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Security(Spec):
    """What a container may do. Capabilities are spelled ``CAP_NET_ADMIN``, or ``ALL``."""

    privileged: bool = False
    read_only_rootfs: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # "no-new-privileges", "seccomp=unconfined"
    groups: tuple[str, ...] = ()  # further groups of its user


class Namespaces(Spec):
    """Which namespaces a container has: ``host``, ``private``, ``container:ID``; ``keep-id``."""

    ipc: str = ""
    pid: str = ""
    uts: str = ""
    user: str = ""


class Device(Spec):
    """A device node of the host; an empty ``target`` is the same path."""

    source: str
    target: str = ""
    permissions: str = "rwm"


class Logging(Spec):
    """Where a container's output goes."""

    driver: str = ""
    options: dict[str, str] = Field(default_factory=dict)
