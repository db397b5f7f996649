"""The memory of worker processes over time, and during a migration."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.moves import ours, tidy
from tests.bench.progress import say
from tests.bench.records import Growth, Memory
from tests.bench.workload import Workload
from tests.lab import Lab

HOSTS = {"source": "a", "target": "b"}
IDLE_SECONDS = 2.0
SAMPLE_SECONDS = 0.05
LOOK_FOR_CHILDREN_SECONDS = 1.0
KIB_PER_MIB = 1024


@dataclass(kw_only=True)
class Samples:
    """Memory of one worker's process tree, in MiB, oldest first."""

    pid: int
    mib: list[float] = field(default_factory=list)
    _tree: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Find the worker's processes: itself and its prefork children."""
        self._tree = tree(self.pid)

    def take(self) -> None:
        """Add a sample; a process that has just ended counts nothing."""
        self.mib.append(sum(process_kib(pid) for pid in self._tree) / KIB_PER_MIB)


def watch(lab: Lab, sizes: Sequence[int]) -> Memory:
    """One migration of each size (MiB), each by workers that have done nothing before."""
    return Memory(measure=measure(), sizes={size: _watch(lab, size) for size in sizes})


def _watch(lab: Lab, size: int) -> dict[str, Growth]:
    say(f"memory, {size} MiB: one move by new workers")
    lab.call("workers", "restart")
    workload = Workload.start(lab, "watched", size)
    pids = {role: _worker_pid(lab, host) for role, host in HOSTS.items()}
    with sampling(pids) as workers:
        time.sleep(IDLE_SECONDS)
        idle_samples = {role: len(samples.mib) for role, samples in workers.items()}
        ours(workload, "--no-preseed")  # the link that was measured before may have been a slow one
    tidy(lab, workload)
    return {role: _growth(samples, idle_samples[role]) for role, samples in workers.items()}


def _growth(samples: Samples, idle_samples: int) -> Growth:
    idle = statistics.median(samples.mib[:idle_samples])
    return Growth(idle_mib=idle, peak_mib=max(samples.mib), samples=len(samples.mib))


def _worker_pid(lab: Lab, host: str) -> int:
    return int((lab.dir / "workers" / f"{host}.pid").read_text())


@contextmanager
def sampling(pids: dict[str, int]) -> Iterator[dict[str, Samples]]:
    """Sample the workers of these names every SAMPLE_SECONDS until the end of the context."""
    workers = {name: Samples(pid=pid) for name, pid in pids.items()}
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(list(workers.values()), over), daemon=True)
    thread.start()
    try:
        yield workers
    finally:
        over.set()
        thread.join()


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def process_kib(pid: int) -> int:
    """A process's PSS in KiB, where the kernel tells it, else its RSS; 0 once it is gone."""
    return _field(pid, "smaps_rollup", "Pss:") or _field(pid, "status", "VmRSS:") or 0


def measure() -> str:
    """What ``process_kib`` gives on this machine."""
    return "PSS" if _field(os.getpid(), "smaps_rollup", "Pss:") else "RSS"


def _field(pid: int, file: str, name: str) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)


def _sample(workers: list[Samples], over: threading.Event) -> None:
    looked = -LOOK_FOR_CHILDREN_SECONDS
    while True:
        began = time.monotonic()
        if began - looked >= LOOK_FOR_CHILDREN_SECONDS:
            looked = began
            for worker in workers:
                worker.look()
        for worker in workers:
            worker.take()
        if over.wait(max(0.0, began + SAMPLE_SECONDS - time.monotonic())):
            return
