"""Run the moves in turn, in a lab of their own, and watch the workers' memory."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.memory import Samples, measure, sampling
from tests.bench.moves import MOVERS, Move, ours, podferry, tidy
from tests.bench.workload import Workload
from tests.lab import Lab, counter_context, lab

HOSTS = {"source": "a", "target": "b"}
LIMIT_MIB = 150.0  # above idle, for each worker with its children
IDLE_SECONDS = 2.0
WARM_UP_MIB = 16
ENTRIES = 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: ``sizes`` maps a container's memory in MiB to its number of runs."""

    sizes: dict[int, int]
    memory_sizes: tuple[int, ...]


def run(plan: Plan) -> dict[str, Any]:
    """Measure everything; return the report."""
    with _prepared() as made:
        return {
            "command_entry_seconds": _entry_seconds(made),
            "sizes": {str(size): _compare(made, size, runs) for size, runs in plan.sizes.items()},
            "memory": _judged({str(size): _watch(made, size) for size in plan.memory_sizes}),
        }


@contextmanager
def _prepared() -> Iterator[Lab]:
    """A lab with workers and, by a first small move, the image on both hosts."""
    _say("two Podman hosts, a hub with MinIO, three workers; a first move carries the image")
    with lab(tuple(HOSTS.values()), minio="yes") as made, counter_context() as context:
        made.call("workers", "start")
        podferry(made, "build", str(context), "--tag", "counter", "--host", "a")
        first = Workload.start(made, "warm-up", WARM_UP_MIB)
        ours(first)
        tidy(made, first)
        yield made


def _entry_seconds(made: Lab) -> float:
    """What entering a host costs by itself: once for podferry, five times for the script."""
    times = []
    for _ in range(ENTRIES):
        began = time.monotonic()
        made.call("enter", "a", "--", "true")
        times.append(time.monotonic() - began)
    return statistics.median(times)


def _compare(made: Lab, size: int, runs: int) -> dict[str, Any]:
    moves: dict[str, list[Move]] = {name: [] for name in MOVERS}
    for number in range(1, runs + 1):
        for name, mover in MOVERS.items():
            workload = Workload.start(made, f"run-{number}", size)
            move = mover(workload)
            tidy(made, workload)
            moves[name].append(move)
            _say(f"{size} MiB, run {number} of {runs}, {name}: {move.total:.2f} s")
    return {name: _medians(done) for name, done in moves.items()}


def _medians(moves: list[Move]) -> dict[str, Any]:
    return {
        "total_seconds": statistics.median(move.total for move in moves),
        "downtime_seconds": statistics.median(move.downtime for move in moves),
        "archive_mib": statistics.median(move.archive_mib for move in moves),
        "steps_seconds": _by_name([move.steps for move in moves]),
        "waits_seconds": _by_name([move.waits for move in moves]),
        "overhead_seconds": statistics.median(m.total - sum(m.steps.values()) for m in moves),
        "totals_seconds": [move.total for move in moves],
        "downtimes_seconds": [move.downtime for move in moves],
    }


def _by_name(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _watch(made: Lab, size: int) -> dict[str, Any]:
    """One migration by workers that have done nothing before, from idle to its end."""
    _say(f"{size} MiB: the workers' memory")
    made.call("workers", "restart")
    workload = Workload.start(made, "watched", size)
    pids = {role: _worker_pid(made, host) for role, host in HOSTS.items()}
    with sampling(pids) as workers:
        time.sleep(IDLE_SECONDS)
        idle_samples = {role: len(samples.mib) for role, samples in workers.items()}
        ours(workload)
    tidy(made, workload)
    return {role: _growth(samples, idle_samples[role]) for role, samples in workers.items()}


def _growth(samples: Samples, idle_samples: int) -> dict[str, Any]:
    idle, peak = statistics.median(samples.mib[:idle_samples]), max(samples.mib)
    return {
        "idle_mib": idle,
        "peak_mib": peak,
        "above_idle_mib": peak - idle,
        "samples": len(samples.mib),
    }


def _judged(watched: dict[str, Any]) -> dict[str, Any]:
    sizes = [int(size) for size in watched]
    smallest, largest = (watched[str(size)] for size in (min(sizes), max(sizes)))
    return {
        "measure": measure(),
        "limit_mib": LIMIT_MIB,
        "holds": all(
            worker["above_idle_mib"] < LIMIT_MIB
            for run in watched.values()
            for worker in run.values()
        ),
        "sizes": watched,
        "peak_ratio": {
            role: largest[role]["peak_mib"] / smallest[role]["peak_mib"] for role in HOSTS
        },
    }


def _worker_pid(made: Lab, host: str) -> int:
    return int((made.dir / "workers" / f"{host}.pid").read_text())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
