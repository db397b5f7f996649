"""The demo: move a live container between two real Podman hosts, then make a move fail.

It types what a person would type, shows it, and looks at the hosts' own sockets for the truth.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from containers import Container, State
from rich import box
from rich.console import Console
from rich.table import Table
from shell import DemoError, Lab

MEMORY_MIB = 64
WARM_UP_SECONDS = 3.0
console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path(".lab"), help="the lab's directory")
    parser.add_argument("--store", choices=["auto", "minio", "local"], default="auto")
    arguments = parser.parse_args()
    try:
        report = play(Lab(arguments.dir.absolute()), arguments.store)
    except DemoError as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 1
    path = arguments.dir / "demo.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"\nReport: {path}. The lab is still up; look around with:")
    for line in (
        "python3 ops/lab exec hub -- .venv/bin/podferry ps",
        "python3 ops/lab enter b -- podman ps",
        "make lab-down",
    ):
        console.print(f"  {line}", style="bold")
    return 0


def play(lab: Lab, store: str) -> dict[str, Any]:
    """Both acts; return the report."""
    with console.status("two Podman hosts, a hub, three workers"):
        lab.up(store)
        counter = Container(lab, "counter", volume="")
        ledger = Container(lab, "ledger", volume="ledger-data")
        for container in (counter, ledger):
            container.forget()
    where = "MinIO" if lab.uses_minio else "a local directory"
    console.rule("[bold]1. A live container moves from host a to host b", align="left")
    console.print(f"Archives travel through {where}.\n")
    lab.podferry("build", lab.context(), "--tag", "counter", "--host", "a", quiet=True)
    moved = move(lab, counter)
    console.print()
    console.rule("[bold]2. A move fails for real: host b has lost its CRIU", align="left")
    fallback = fail(lab, ledger)
    return {**moved, "store": "minio" if lab.uses_minio else "local", "fallback": fallback}


def move(lab: Lab, container: Container) -> dict[str, Any]:
    """Start the counting container on a, move it to b, compare."""
    size = ("--env", f"MEMORY_MIB={MEMORY_MIB}")
    lab.podferry("up", "counter", "--name", container.name, "--host", "a", *size)
    time.sleep(WARM_UP_SECONDS)
    before = container.state("a")
    workflow = lab.podferry("migrate", container.name, "--to", "b")
    after = container.state("b")
    if after.boot_id != before.boot_id or after.counter <= before.counter:
        raise DemoError("the container on b is not the one that ran on a")
    if container.on("a"):
        raise DemoError("host a still has the container")
    stored = stored_bytes(workflow)
    console.print(comparison(before, after, stored))
    console.print(steps_table(workflow))
    return {
        "workload": container.name,
        "source": "a",
        "target": "b",
        "counter_before": before.counter,
        "counter_after": after.counter,
        "downtime_seconds": after.largest_gap_seconds,
        "steps": {step["unit"]: duration(step) for step in workflow["steps"]},
        "bytes": stored,
        "outcome": workflow["outcome"],
    }


def fail(lab: Lab, container: Container) -> dict[str, Any]:
    """Take CRIU away on b, move there, find the volume's content after the cold start."""
    lab.podferry(
        "up", "counter", "--name", container.name, "--host", "a", "-v", "ledger-data:/data"
    )
    time.sleep(WARM_UP_SECONDS)
    before = container.ledger("a")
    if not before:
        raise DemoError("the container wrote nothing into its volume")
    with lab.without_criu("b"):
        workflow = lab.podferry("migrate", container.name, "--to", "b", expect=3)
    after = container.ledger("b")
    intact = after[: len(before)] == before
    console.print(
        f"\nThe restore failed, so the workload was started cold on b: its memory is lost, and the "
        f"{len(before)} lines in its volume are {'all there' if intact else 'NOT all there'}.",
        style="green" if intact else "red",
    )
    if not intact:
        raise DemoError("the volume lost content")
    return {"outcome": workflow["outcome"], "volume_intact": intact, "reason": workflow["reason"]}


def comparison(before: State, after: State, stored: int) -> Table:
    """The same process before and after, side by side."""
    table = Table(
        "",
        "host a, before",
        "host b, after",
        title="The same process",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_row("counter in memory", str(before.counter), str(after.counter))
    table.add_row("id chosen at start", before.boot_id, after.boot_id)
    table.add_row("checksums of its memory", _ok(before.intact), _ok(after.intact))
    table.add_row("archive", "", f"{stored / 2**20:.1f} MiB for {MEMORY_MIB} MiB of random memory")
    table.add_row("downtime it saw itself", "", f"{after.largest_gap_seconds:.2f} s")
    return table


def steps_table(workflow: dict[str, Any]) -> Table:
    """Where the time went."""
    table = Table(
        "step",
        "host",
        "seconds",
        title="Steps",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for step in workflow["steps"]:
        table.add_row(step["unit"], step["host"], f"{duration(step):.2f}")
    return table


def duration(step: dict[str, Any]) -> float:
    """Seconds that a step of a workflow's JSON took."""
    began, ended = (datetime.fromisoformat(step[key]) for key in ("started", "ended"))
    return round((ended - began).total_seconds(), 3)


def stored_bytes(workflow: dict[str, Any]) -> int:
    """Bytes that the checkpoint takes in the store."""
    return next(int(s["result"]["bytes"]) for s in workflow["steps"] if s["unit"] == "checkpoint")


def _ok(intact: bool) -> str:
    return "hold" if intact else "BROKEN"


if __name__ == "__main__":
    sys.exit(main())
