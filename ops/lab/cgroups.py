"""The cgroup that each lab host has in every hierarchy of the machine, be they v1 or v2.

A migrated container keeps its id and with it its cgroup path, so two
hosts on one kernel must not share it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import kernel


class Hierarchy(NamedTuple):
    """A cgroup hierarchy that the machine uses; `controllers` is empty for v2."""

    controllers: str
    mount: Path


def hierarchies() -> list[Hierarchy]:
    """Return the v1 hierarchies, or the v2 one where no controller is on v1."""
    mounts: list[tuple[str, Path, set[str]]] = []  # kind, where, options
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, words = rest.split(" ", 2)
        mounts.append((kind, Path(fields.split()[4]), set(words.split(","))))
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        controllers = line.split(":")[1]
        for kind, mount, options in mounts:
            if kind == "cgroup" and controllers and options.issuperset(controllers.split(",")):
                found.append(Hierarchy(controllers, mount))
                break
    if any("name=" not in hierarchy.controllers for hierarchy in found):
        return found
    return [Hierarchy("", mount) for kind, mount, _ in mounts if kind == "cgroup2"][:1]


def host_sh_arguments() -> list[str]:
    """Describe the machine's hierarchies to host.sh."""
    words = []
    for controllers, mount in hierarchies():
        options = f"none,{controllers}" if controllers.startswith("name=") else controllers
        words.append(f"{mount.name}:{options}" if controllers else "v2")
    return words


def _enable_all(group: Path) -> None:
    for controller in (group / "cgroup.controllers").read_text().split():
        with suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def make(name: str) -> None:
    """Make a cgroup of that name in every hierarchy, ready to hold processes."""
    for controllers, mount in hierarchies():
        group = mount / name
        if not controllers:
            _enable_all(mount)
        group.mkdir(exist_ok=True)
        if "cpuset" in controllers.split(","):  # empty at first, and then no process may enter
            for setting in "cpuset.cpus", "cpuset.mems":
                (group / setting).write_text((mount / setting).read_text())


def join(name: str) -> None:
    """Move this process into the cgroup, in every hierarchy."""
    for _, mount in hierarchies():
        leaf = mount / name / "init"
        (leaf if leaf.exists() else mount / name).joinpath("cgroup.procs").write_text("0")


def settle(name: str) -> None:
    """On v2, move the processes into a leaf: what holds processes cannot hand controllers down."""
    for controllers, mount in hierarchies():
        if not controllers:
            leaf = mount / name / "init"
            leaf.mkdir(exist_ok=True)
            for pid in (mount / name / "cgroup.procs").read_text().split():
                (leaf / "cgroup.procs").write_text(pid)
            _enable_all(mount / name)


def names(prefix: str) -> set[str]:
    """All top-level cgroups, in any hierarchy, that begin with the prefix."""
    return {path.name for _, mount in hierarchies() for path in mount.glob(f"{prefix}*")}


def remove(name: str) -> None:
    """Remove the cgroup and those below it, once the last process has left them."""

    def gone() -> bool:
        for _, mount in hierarchies():
            for directory, _, _ in os.walk(mount / name, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
        return name not in names(name)

    kernel.wait_until(gone, 20, f"the cgroup {name} did not become empty")
