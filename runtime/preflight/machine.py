"""What the worker's process reads of its own machine, in /proc (see proc(5))."""

from __future__ import annotations

import ctypes
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from runtime.preflight.facts import ProcessFacts, PublishedPort
from runtime.preflight.reading import address

PROC = Path("/proc")
KIB = 1024
LISTENING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; TCP_CLOSE, as an unconnected UDP socket has
HARMLESS = frozenset(
    {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "stdin", "stdout"}
)
SHM = "/dev/shm/"  # noqa: S108 - nothing is written
HARMLESS_BELOW = ("/dev/pts/", SHM, "/dev/mqueue/")
IN_CGROUP = re.compile("libpod-([0-9a-f]{64})")
CLONE_NEWIPC = 0x08000000  # setns(2)


def cpu_flags(proc: Path = PROC) -> tuple[str, ...]:
    """The CPU's features (x86: "flags", ARM: "Features"), sorted; empty when there are none."""
    for line in _lines(proc / "cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return tuple(sorted(value.split()))
    return ()


def memory_available(proc: Path = PROC) -> int | None:
    """Bytes that programs may still take, caches given back; None when it is not told."""
    return _kib(proc / "meminfo", "MemAvailable")


def load(proc: Path = PROC) -> float | None:
    """Processes that ran or waited to, averaged over a minute; None when it is not told."""
    words = _text(proc / "loadavg").split()
    return float(words[0]) if words else None


def memory_of_containers(proc: Path = PROC) -> dict[str, int]:
    """Resident bytes of the processes of each running container, by its id, in one pass."""
    found: Counter[str] = Counter()
    for process in proc.glob("[0-9]*"):
        cgroup = IN_CGROUP.search(_text(process / "cgroup"))
        if cgroup:
            found[cgroup.group(1)] += _memory(process)
    return dict(found)


def listening(proc: Path = PROC) -> Iterator[PublishedPort]:
    """Ports that processes listen on in the worker's own network, which is its host's."""
    for protocol, state in LISTENING.items():
        for family in ("", "6"):
            for line in _lines(proc / "self" / "net" / f"{protocol}{family}")[1:]:
                local, _, current = line.split()[1:4]
                host, _, port = local.partition(":")
                if current == state:
                    yield PublishedPort(
                        port=int(port, 16), protocol=protocol, address=address(_address(host))
                    )


def processes(container_id: str, config: str, proc: Path = PROC) -> ProcessFacts | None:
    """What a running container's processes hold; None when none of them can be seen.

    They are found by their cgroup, which has the container's id in its path: the engine's own
    process ids mean nothing where it runs in a process namespace of its own. ``config`` is the
    path of its OCI configuration on the engine's host.
    """
    found = _processes(container_id, proc)
    if not found:
        return None
    files = [link for process in found for link in _open_files(process)]
    sockets = {link for link in files if link.startswith("socket:[")}
    own_network = _network(found[0]) != _network(proc / "self")
    return ProcessFacts(
        io_uring="anon_inode:[io_uring]" in files,
        mptcp=own_network and _uses_mptcp(found[0]),
        inet_sockets=bool(sockets & set(_inet_sockets(found[0]))),
        devices=tuple(sorted({link for link in files if _is_device(link)})),
        linked=tuple(_linked_sources(found, config)),
        shared_memory=tuple(sorted({f for f in (*files, *_mapped(found)) if f.startswith(SHM)})),
        memory_bytes=sum(_memory(process) for process in found),
    )


def system_v_objects(container_id: str, proc: Path = PROC) -> bool:
    """Whether there are System V objects in the IPC namespace of a running container.

    Only who is in it can see them, so a thread enters it and ends.
    """
    found = _processes(container_id, proc)

    def look() -> bool:
        with (found[0] / "ns" / "ipc").open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWIPC) != 0:
                return False
        return any(len(_lines(proc / "sysvipc" / kind)) > 1 for kind in ("shm", "sem", "msg"))

    with suppress(OSError, IndexError), ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(look).result()
    return False


def _processes(container_id: str, proc: Path) -> list[Path]:
    return [p for p in proc.glob("[0-9]*") if f"libpod-{container_id}" in _text(p / "cgroup")]


def _mapped(processes: list[Path]) -> Iterator[str]:
    """Paths of the files that these have mapped."""
    for process in processes:
        for line in _lines(process / "maps"):
            yield line.split(maxsplit=5)[-1]


def _open_files(process: Path) -> Iterator[str]:
    with suppress(OSError):  # it has ended
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(link.readlink())


def _linked_sources(found: list[Path], config: str) -> Iterator[str]:
    """Sources of bind mounts that are symbolic links where the engine looks them up.

    That is the root of the first process's parent, the engine's monitor.
    """
    parents = {_number(process / "status", "PPid") for process in found}
    outside = parents - {int(process.name) for process in found} - {None, 0}
    if not outside:
        return
    root = found[0].parent / str(min(filter(None, outside))) / "root"
    with suppress(ValueError):  # it cannot be seen
        for mount in json.loads(_text(Path(f"{root}{config}"))).get("mounts") or ():
            if mount["type"] == "bind" and Path(f"{root}{mount['source']}").is_symlink():
                yield mount["source"]


def _network(process: Path) -> str:
    try:
        return str((process / "ns" / "net").readlink())
    except OSError:
        return ""


def _uses_mptcp(process: Path) -> bool:
    """Whether its network has any: the kernel lists them nowhere by process."""
    lines = [line.split() for line in _lines(process / "net" / "protocols")]
    return any(line[0].startswith("MPTCP") and line[2] != "0" for line in lines if len(line) > 2)


def _inet_sockets(process: Path) -> Iterator[str]:
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in _lines(process / "net" / name)[1:]:
            yield f"socket:[{line.split()[9]}]"


def _is_device(link: str) -> bool:
    if not link.startswith("/dev/") or link.startswith(HARMLESS_BELOW):
        return False
    return link.removeprefix("/dev/") not in HARMLESS


def _memory(process: Path) -> int:
    status = process / "status"
    return sum(_kib(status, name) or 0 for name in ("RssAnon", "RssShmem"))


def _kib(path: Path, name: str) -> int | None:
    number = _number(path, name)
    return None if number is None else number * KIB


def _number(path: Path, name: str) -> int | None:
    for line in _lines(path):
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    return None


def _address(text: str) -> str:
    """An address as the kernel prints it: words of 32 bits, each in the machine's byte order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    packed = b"".join(words)
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended, or is not ours to see
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()
