"""How a lab's parts are called and where they lie, and what it remembers."""

import hashlib
import ipaddress
import json
import os
import re
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel import LabError

SETUP = Path(__file__).parents[1] / "setup"
NETWORK = ipaddress.ip_network("10.99.0.0/24")  # Podman's own default is 10.88.0.0/16
HUB = "hub"
HOST_NAME = re.compile(
    r"[a-z][a-z0-9-]{0,9}"
)  # with "veth-" in front it must fit into 15 characters
RESERVED = {HUB, "switch", "redis", "minio"}
LONGEST_SOCKET = 107  # sun_path, without its final zero


@dataclass
class State:
    """What the lab remembers between commands; everything else is asked of the kernel."""

    redis_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    minio_access_key: str = "podferry-lab"
    minio_secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    with_minio: bool = False
    addresses: dict[str, str] = field(default_factory=dict)


def cache() -> Path:
    """Return the directory that ops/setup fills."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "podferry")
    return Path(os.environ.get("PODFERRY_CACHE") or default)


def rootfs() -> Path:
    """Return the hosts' root file system, which is built if it is not there yet."""
    done = subprocess.run([SETUP / "rootfs.sh"], check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise LabError(f"no root file system: {last} (ops/setup/rootfs.sh makes it)")
    return Path(done.stdout.splitlines()[-1])


class Layout:
    """One lab, named by its directory; several exist side by side."""

    def __init__(self, directory: Path) -> None:
        """Take the directory's absolute path as the lab's name; nothing is made yet."""
        self.directory = directory.absolute()
        self.id = hashlib.sha256(str(self.directory).encode()).hexdigest()[:6]
        self.hub = self.directory / "hub"
        self.logs = self.directory / "logs"
        self.state = self._load()

    # Names

    def netns(self, node: str) -> str:
        """Name of a node's network namespace."""
        return f"pf-{self.id}-{node}"

    def cgroup(self, host: str) -> str:
        """Name of a host's cgroup in every hierarchy."""
        return f"podferry-{self.id}-{host}"

    def host_directory(self, host: str) -> Path:
        """Where a host's own files lie."""
        return self.directory / "hosts" / host

    def log(self, node: str, service: str) -> Path:
        """Where a service's output goes."""
        return self.logs / f"{node}-{service}.log"

    @property
    def hosts(self) -> list[str]:
        """The hosts of this lab."""
        return [node for node in self.state.addresses if node != HUB]

    def require(self, node: str, known: list[str]) -> None:
        """Raise LabError unless the name is a known one."""
        if not self.state.addresses:
            raise LabError(f"no lab in {self.directory}; `up` makes one")
        if node not in known:
            raise LabError(f"unknown name {node!r}; there are: {', '.join(known)}")

    @property
    def _file(self) -> Path:
        return self.directory / "lab.json"

    def _load(self) -> State:
        try:
            saved: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return State()
        return State(**saved["state"])

    def check(self, hosts: list[str]) -> None:
        """Raise LabError for a host's name, or a directory, that cannot work."""
        for host in hosts:
            if not HOST_NAME.fullmatch(host) or host in RESERVED:
                rule = "a lower-case letter, then at most nine more letters, digits or dashes"
                raise LabError(
                    f"{host!r} cannot name a host: {rule}, and not {', '.join(sorted(RESERVED))}"
                )
        sockets = [
            self.hub / "redis.sock",
            *(self.host_directory(h) / "podman.sock" for h in hosts or ["a"]),
        ]
        if max(len(os.fsencode(path)) for path in sockets) > LONGEST_SOCKET:
            raise LabError(
                f"{self.directory} is too long: the sockets below it must have paths of at most "
                f"{LONGEST_SOCKET} bytes; choose a shorter --dir"
            )
        if set(str(self.directory)) & set('",:\\\n'):
            raise LabError(f"{self.directory} has a character that mount options cannot hold")
