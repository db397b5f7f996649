"""The ways to move a container that are compared: ours, and what a user would type instead."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.workload import Workload
from tests.lab import Lab

PODFERRY = Path(sys.executable).with_name("podferry")
S3_COPY = Path(__file__).with_name("s3_copy.py")
EXPORTS = "/var/lib/containers"  # on a host; this machine sees it as the host's "containers"
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Move:
    """One move, timed in seconds from the first command to the end of the last.

    ``waits`` says where the time went that no step took.
    """

    total: float
    downtime: float
    steps: dict[str, float]
    waits: dict[str, float]
    archive_mib: float


Mover = Callable[[Workload], Move]


def podferry(lab: Lab, *words: str) -> dict[str, Any]:
    """Type a podferry command in the hub's network; return the workflow it ends with."""
    done = lab.call("exec", "hub", "--", str(PODFERRY), *words, "-o", "json")
    workflow: dict[str, Any] = json.loads(done.stdout)
    return workflow


def ours(workload: Workload) -> Move:
    """``podferry migrate``."""
    began, began_at = time.monotonic(), time.time()
    workflow = podferry(workload.lab, "migrate", workload.name, "--to", "b")
    total, ended_at = time.monotonic() - began, time.time()
    steps = workflow["steps"]
    stored = next(step["result"]["bytes"] for step in steps if step["unit"] == "checkpoint")
    return Move(
        total=total,
        downtime=workload.downtime(ended_at),
        steps={step["unit"]: _moment(step["ended"]) - _moment(step["started"]) for step in steps},
        waits={
            "command start": _moment(workflow["created"]) - began_at,
            "first step": _moment(steps[0]["started"]) - _moment(workflow["created"]),
            "between steps": sum(
                _moment(later["started"]) - _moment(step["ended"])
                for step, later in pairwise(steps)
            ),
            "command end": ended_at - _moment(steps[-1]["ended"]),
        },
        archive_mib=stored / MIB,
    )


def by_hand(compress: str, workload: Workload) -> Move:
    """Checkpoint to a file, copy it to S3 and back, restore it, remove the source's container."""
    lab, archive = workload.lab, f"{workload.name}.tar"
    on_a, on_b = (lab.dir / "hosts" / host / "containers" / archive for host in ("a", "b"))
    export, imported = f"--export={EXPORTS}/{archive}", f"--import={EXPORTS}/{archive}"
    podman = ("--", "podman", "container")
    copy = ("--", sys.executable, str(S3_COPY))
    options = (export, f"--compress={compress}", "--tcp-established")
    commands = {
        "podman checkpoint": ("enter", "a", *podman, "checkpoint", *options, workload.name),
        "upload": ("exec", "a", *copy, "put", str(on_a), archive),
        "download": ("exec", "b", *copy, "get", archive, str(on_b)),
        "podman restore": ("enter", "b", *podman, "restore", imported, "--tcp-established"),
        "podman rm": ("enter", "a", "--", "podman", "rm", workload.name),
    }
    steps = {}
    began = time.monotonic()
    for name, command in commands.items():
        step_began = time.monotonic()
        lab.call(*command)
        steps[name] = time.monotonic() - step_began
    total = time.monotonic() - began
    downtime = workload.downtime(time.time())
    size = on_a.stat().st_size
    on_a.unlink()
    on_b.unlink()
    return Move(total=total, downtime=downtime, steps=steps, waits={}, archive_mib=size / MIB)


MOVERS: dict[str, Mover] = {
    "podferry": ours,
    "script, zstd": partial(by_hand, "zstd"),
    "script, none": partial(by_hand, "none"),
}


def tidy(lab: Lab, workload: Workload) -> None:
    """Leave nothing of a move behind that the next one would pay for."""
    workload.remove()
    lab.call("exec", "hub", "--", sys.executable, str(S3_COPY), "clear")
    os.sync()  # or the next move shares the disk with what this one wrote


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
