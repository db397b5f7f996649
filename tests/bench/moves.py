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
    """One move, timed in seconds from the first command to the end of the last."""

    total: float
    downtime: float
    steps: dict[str, float]
    archive_mib: float


Mover = Callable[[Workload], Move]


def podferry(lab: Lab, *words: str) -> dict[str, Any]:
    """Type a podferry command in the hub's network; return the workflow it ends with."""
    done = lab.call("exec", "hub", "--", str(PODFERRY), *words, "-o", "json")
    workflow: dict[str, Any] = json.loads(done.stdout)
    return workflow


def ours(workload: Workload) -> Move:
    """``podferry migrate``."""
    began = time.monotonic()
    workflow = podferry(workload.lab, "migrate", workload.name, "--to", "b")
    total = time.monotonic() - began
    moved_at = time.time()
    stored = next(s["result"]["bytes"] for s in workflow["steps"] if s["unit"] == "checkpoint")
    return Move(
        total=total,
        downtime=workload.downtime(moved_at),
        steps={step["unit"]: _seconds(step) for step in workflow["steps"]},
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
    return Move(total=total, downtime=downtime, steps=steps, archive_mib=size / MIB)


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


def _seconds(step: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(step[key]) for key in ("started", "ended"))
    return (ended - began).total_seconds()
