"""What processes and Redis have used so far."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from redis import Redis

from tests.bench.memory import tree
from tests.soak.records import Reading

TICKS = os.sysconf("SC_CLK_TCK")
CPU_FIELDS = slice(11, 15)  # utime, stime, and those of children that have ended: proc(5)


def read(redis: Redis, groups: Mapping[str, Iterable[int]], told: float) -> Reading:
    """What each group of processes and Redis have used since they began."""
    info = redis.info("all")
    cpu = {name: sum(map(_cpu_seconds, pids)) for name, pids in groups.items()}
    return Reading(
        moment=time.monotonic(),
        told=told,
        cpu={**cpu, "redis": info["used_cpu_user"] + info["used_cpu_sys"]},
        commands=_commands(info),
        written_bytes=info["total_net_input_bytes"],
        memory_bytes=info["used_memory"],
    )


def _commands(info: Mapping[str, Any]) -> dict[str, int]:
    """Calls by command."""
    names = ((name, name.removeprefix("cmdstat_")) for name in info)
    return {short: info[name]["calls"] for name, short in names if name != short}


def _cpu_seconds(pid: int) -> float:
    """Of a process and all its descendants; a child that has just ended counts with its parent."""
    return sum(map(_ticks, tree(pid))) / TICKS


def _ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[CPU_FIELDS]))
