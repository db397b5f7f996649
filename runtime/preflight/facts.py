"""What is known of two hosts and a container before a move. JSON-serialisable, without secrets.

Sizes are bytes, times are seconds, moments are aware datetimes. An environment is never among them.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from runtime.records import Fact
from runtime.specs import ContainerState


class PathKind(StrEnum):
    """What lies at a path of an engine's host."""

    MISSING = "missing"
    DIRECTORY = "directory"
    FILE = "file"
    SOCKET = "socket"
    DEVICE = "device"


class CanaryState(StrEnum):
    """Whether a tiny container was checkpointed and restored on a host."""

    NOT_RUN = "not run"  # nobody tried yet, or nothing answered that could be tried
    OK = "ok"
    FAILED = "failed"


class Canary(Fact):
    """The last try on a host. ``criu_version`` is CRIU's own word, from its log: "4.2.1"."""

    state: CanaryState = CanaryState.NOT_RUN
    reason: str = ""  # why it failed or was not run
    criu_version: str = ""
    seconds: float = 0.0
    taken: AwareDatetime | None = None


class HostFacts(Fact):
    """A host, from Podman's ``/info`` and from the machine that the worker runs on."""

    host: str = ""  # as messages call it
    engine: str
    version: str
    architecture: str  # as Go spells it: "amd64", "arm64"
    kernel: str
    oci_runtime: str  # the default one, which every restore uses
    cgroups: str = ""  # version and manager: "v2 systemd"; empty: not known
    rootless: bool = False
    apparmor: bool = False
    cpu_flags: tuple[str, ...] = ()  # empty: not known
    cpus: int = 0  # 0: not known
    memory_total_bytes: int = 0  # 0: not known
    memory_free_bytes: int
    disk_free_bytes: int  # where Podman keeps images and containers
    graph_root: str = ""  # that directory, as the engine sees it
    checkpoint_reason: str = ""  # not empty: why this engine cannot checkpoint or restore
    canary: Canary = Canary()


class Room(Fact):
    """What a host has left at a moment; None: not known."""

    memory_bytes: int | None = None
    disk_bytes: int | None = None  # where the engine keeps images and containers
    load: float | None = None  # processes that ran or waited to, averaged over a minute


class BindFacts(Fact):
    """A host path mounted into a container; ``kind`` is None when nobody could look."""

    source: str
    target: str
    kind: PathKind | None = None


class PublishedPort(Fact):
    """A port of the host. ``owner`` is who has it: a container's name, or empty (a process)."""

    port: int
    protocol: str = "tcp"
    address: str = ""  # empty: every address
    owner: str = ""


class NetworkFacts(Fact):
    """A network of an engine; ``taken`` maps addresses in it to the containers that have them."""

    name: str
    driver: str = "bridge"
    internal: bool = False
    dns: bool = False
    subnets: tuple[str, ...] = ()
    options: dict[str, str] = Field(default_factory=dict)
    taken: dict[str, str] = Field(default_factory=dict)


class Attachment(Fact):
    """A container in a network, with its addresses there, which a restore claims again."""

    network: NetworkFacts
    addresses: tuple[str, ...] = ()
    fixed: bool = False  # somebody asked for these very addresses


class SharedVolume(Fact):
    """A volume of the container that another one mounts too."""

    name: str
    other: str


class ProcessFacts(Fact):
    """What a container's processes hold open, as the worker's machine shows them in /proc."""

    io_uring: bool = False
    mptcp: bool = False
    inet_sockets: bool = False
    devices: tuple[str, ...] = ()  # device files that are open, the harmless ones left out
    linked: tuple[str, ...] = ()  # sources of bind mounts that are symbolic links
    shared_memory: tuple[str, ...] = ()  # files below /dev/shm that are open or mapped
    memory_bytes: int = 0


class ContainerFacts(Fact):
    """A container on its source. ``processes`` is None when the worker cannot see them."""

    container_id: str
    name: str
    image: str
    image_id: str
    image_named: bool = True  # the name still means this image, so it can be saved under it
    image_bytes: int = 0
    state: ContainerState
    auto_remove: bool = False
    dependencies: tuple[str, ...] = ()
    pod: str = ""  # its pod's name
    systemd: bool = False
    oci_runtime: str = ""
    apparmor_profile: str = ""
    user_namespace: str = ""
    network_mode: str = ""
    volumes: tuple[str, ...] = ()
    shared_volumes: tuple[SharedVolume, ...] = ()
    binds: tuple[BindFacts, ...] = ()
    overlays: tuple[str, ...] = ()  # where it mounts an image, or an overlay of a path or volume
    devices: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()  # names of the secrets that it mounts
    ports: tuple[PublishedPort, ...] = ()
    networks: tuple[Attachment, ...] = ()
    layer_bytes: int = 0
    memory_bytes: int = 0
    processes: ProcessFacts | None = None


class TargetFacts(Fact):
    """What a target holds that concerns one container."""

    host: HostFacts
    image_id: str = ""  # what the image's name means there; empty: nothing
    image_archived: bool = False  # the store has the container's image
    name_in_use: bool = False
    id_in_use: bool = False
    volumes: tuple[str, ...] = ()  # those of the container's that exist there
    ports: tuple[PublishedPort, ...] = ()
    networks: tuple[NetworkFacts, ...] = ()
    paths: dict[str, PathKind] = Field(default_factory=dict)  # of its bind mounts and devices
