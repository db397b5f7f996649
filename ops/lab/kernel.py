"""What the lab asks of the kernel: network namespaces, links, and the processes in namespaces.

Nothing here trusts a recorded process id. A process belongs to a node because it is in the node's
namespaces, so what a crashed run left behind is found again, and a recycled id is never mistaken
for one of the lab's.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000


class LabError(Exception):
    """The lab cannot do what was asked; the message is one line for the person who asked."""


def run(*command: str) -> str:
    """Run a command and return its stdout; raise LabError with its complaint when it fails."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is missing; run ops/setup/system.sh") from None
    if done.returncode:
        complaint = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise LabError(f"`{' '.join(command)}` failed: {complaint}")
    return done.stdout


def wait_until(condition: Callable[[], object], seconds: float, problem: str) -> None:
    """Poll the condition until it holds; raise LabError with the problem when time runs out."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{problem} within {seconds:g} s")
        time.sleep(0.02)


def netns_path(netns: str) -> Path:
    """Where the kernel shows a named network namespace."""
    return Path("/run/netns", netns)


def netns_names(prefix: str) -> list[str]:
    """All named network namespaces that begin with the prefix."""
    return sorted(path.name for path in netns_path("").glob(f"{prefix}*"))


def add_netns(netns: str) -> None:
    """Make a network namespace with its loopback up, unless it is there."""
    if not has_link(netns, "lo"):
        remove_netns(netns)  # the name alone, as a run killed halfway leaves it
        run("ip", "netns", "add", netns)
    run("ip", "-n", netns, "link", "set", "lo", "up")


def remove_netns(netns: str) -> None:
    """Remove a network namespace's name; the kernel drops the rest with its last process."""
    with suppress(LabError):
        run("ip", "netns", "delete", netns)
    netns_path(netns).unlink(missing_ok=True)


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """Be in another network namespace for a while; sockets made there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as home, netns_path(netns).open() as away:
        if libc.setns(away.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {netns}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def has_link(netns: str, link: str) -> bool:
    """Whether the network namespace has a link of that name."""
    with suppress(LabError):
        return bool(run("ip", "-n", netns, "link", "show", link))
    return False


def link_is_up(netns: str, link: str) -> bool:
    """Whether the link has been set up, as opposed to cut."""
    with suppress(LabError):
        flags = run("ip", "-n", netns, "-o", "link", "show", link).split("<")[1].split(">")[0]
        return "UP" in flags.split(",")
    return False


def is_in(pid: int, namespace: Path) -> bool:
    """Whether a living process is in this namespace; its file says of which kind it is."""
    kind = namespace.name if namespace.is_relative_to("/proc") else "net"
    try:
        return Path(f"/proc/{pid}/ns/{kind}").samefile(namespace)
    except OSError:
        return False


def processes_in(namespace: Path) -> list[int]:
    """Every process in this namespace."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if is_in(pid, namespace)]


def pid_namespace(pid: int) -> Path:
    """The pid namespace of a process."""
    return Path(f"/proc/{pid}/ns/pid")


def find_nested(namespace: Path, inner_pid: int) -> int | None:
    """Find the namespace's process that has this id in the pid namespace directly below ours."""
    for pid in processes_in(namespace):
        if _nested_pids(pid)[1:] == [inner_pid]:
            return pid
    return None


def _nested_pids(pid: int) -> list[int]:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(word) for word in line.split()[1:]]
    return []


def _ancestors() -> set[int]:
    """Return this process and its ancestors: a teardown must not kill whoever asked for it."""
    found, pid = set(), os.getpid()
    while pid:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def send(pid: int, namespace: Path, number: int) -> None:
    """Signal the process if it is still one of this namespace."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if is_in(
                pid, namespace
            ):  # asked after the handle was taken: the id cannot change hands any more
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def kill_all(netns: str) -> None:
    """Kill every process of the network namespace; a dying init takes its containers along."""
    spared, namespace = _ancestors(), netns_path(netns)

    def none_left() -> bool:
        doomed = [pid for pid in processes_in(namespace) if pid not in spared]
        for pid in doomed:
            send(pid, namespace, signal.SIGKILL)
        return not doomed

    wait_until(none_left, 20, f"the processes of {netns} did not die")
