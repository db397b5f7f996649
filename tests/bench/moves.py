"""The ways to move a container that are compared: ours, and what a user would type instead."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from tests.bench.claims import REST, SCRIPT
from tests.bench.progress import say
from tests.bench.records import OURS, Move, Moved
from tests.bench.s3_tools import mc_get, mc_put, store_of
from tests.bench.timing import in_turn
from tests.bench.workload import Workload
from tests.lab import Lab

PODFERRY = Path(sys.executable).with_name("podferry")
MODULE = (sys.executable, "-m")
EXPORTS = "/var/lib/containers"  # on a host; this machine sees it as the host's "containers"
MIB = 2**20
DEADLINE_SECONDS = "1800"

Mover = Callable[[Workload], Move]


def podferry(lab: Lab, *words: str) -> dict[str, Any]:
    """Type a podferry command in the hub's network; return the workflow it ends with."""
    done = lab.call("exec", "hub", "--", str(PODFERRY), *words, "-o", "json")
    workflow: dict[str, Any] = json.loads(done.stdout)
    return workflow


def ours(workload: Workload, *options: str) -> Move:
    """``podferry migrate``."""
    began, began_at = time.monotonic(), time.time()
    words = ("migrate", workload.name, "--to", "b", "--deadline", DEADLINE_SECONDS, *options)
    workflow = podferry(workload.lab, *words)
    total, ended_at = time.monotonic() - began, time.time()
    steps = sorted(workflow["steps"], key=lambda step: step["started"])
    stored = sum(
        step["result"]["bytes"] for step in steps if step["unit"] in {"preseed", "checkpoint"}
    )
    return Move(
        total=total,
        downtime=workload.downtime(ended_at),
        steps={step["unit"]: _moment(step["ended"]) - _moment(step["started"]) for step in steps},
        waits={
            "command start": _moment(workflow["created"]) - began_at,
            "first step": _moment(steps[0]["started"]) - _moment(workflow["created"]),
            # below zero by how much steps overlap: a restore reads while its checkpoint writes
            "between steps": sum(
                _moment(later["started"]) - _moment(step["ended"])
                for step, later in pairwise(steps)
            ),
            "command end": ended_at - max(_moment(step["ended"]) for step in steps),
        },
        archive_mib=stored / MIB,
    )


def by_hand(compress: str, workload: Workload) -> Move:
    """Checkpoint to a file, copy it to S3 and back, restore it, remove the source's container."""
    lab, archive = workload.lab, f"{workload.name}.tar"
    store = store_of(lab)
    on_a, on_b = (lab.dir / "hosts" / host / "containers" / archive for host in ("a", "b"))
    export, imported = f"--export={EXPORTS}/{archive}", f"--import={EXPORTS}/{archive}"
    podman = ("--", "podman", "container")
    options = (export, f"--compress={compress}", "--tcp-established")
    commands = {
        "podman checkpoint": ("enter", "a", *podman, "checkpoint", *options, workload.name),
        "mc cp to the store": ("exec", "a", "--", *mc_put(store, on_a, archive)),
        "mc cp from it": ("exec", "b", "--", *mc_get(store, archive, on_b)),
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


def by_rest(workload: Workload) -> Move:
    """Podman's REST calls and boto3's transfers, from one small program."""
    lab = workload.lab
    began = time.monotonic()
    (told,) = rest_moves(lab, {workload.name: "b"})
    total, ended_at = time.monotonic() - began, time.time()
    return Move(
        total=total,
        downtime=workload.downtime(ended_at),
        steps=told["steps"],
        waits={"command start and end": total - sum(told["steps"].values())},
        archive_mib=told["bytes"] / MIB,
    )


def rest_moves(lab: Lab, targets: dict[str, str]) -> list[dict[str, Any]]:
    """Move these containers of host a so, each to its host; what the program tells of each."""
    pairs = [(name, lab.socket(host)) for name, host in targets.items()]
    words = (lab.socket("a"), *chain.from_iterable(pairs))
    done = lab.call("exec", "hub", "--", *MODULE, "tests.bench.rest_move", *words)
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


MOVERS: dict[str, Mover] = {
    OURS: ours,
    f"{SCRIPT}, zstd": partial(by_hand, "zstd"),
    f"{SCRIPT}, none": partial(by_hand, "none"),
    REST: by_rest,
}


def compare(
    lab: Lab, size: int, runs: int, movers: dict[str, Mover], *, churn: int = 0, what: str = "move"
) -> Moved:
    """Move a new container each time, in every way in turn."""
    moved: dict[str, list[Move]] = {name: [] for name in movers}
    for number, name in in_turn(list(movers), runs):
        workload = Workload.start(lab, f"run-{number}", size, churn=churn)
        move = movers[name](workload)
        tidy(lab, workload)
        moved[name].append(move)
        took = f"{move.total:.2f} s, stood still {move.downtime:.2f} s"
        say(f"{what}, {size} MiB, run {number} of {runs}, {name}: {took}")
    return {name: tuple(done) for name, done in moved.items()}


def tidy(lab: Lab, workload: Workload) -> None:
    """Leave nothing of a move behind that the next one would pay for."""
    workload.remove()
    lab.call("exec", "hub", "--", *MODULE, "tests.bench.objects", "clear")
    os.sync()  # or the next move shares the disk with what this one wrote


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
