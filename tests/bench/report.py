"""The report as tables."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Any

from rich.console import Console
from rich.table import Table

OURS = "podferry"
NOTES = """\
Medians. Total: from the first command to the end of the last. Downtime: the largest gap in the
container's own timestamps. Script: podman container checkpoint --export, a copy to the same MinIO
and back by boto3's upload_file and download_file with their defaults, each a process of its own,
podman container restore --import, podman rm. Each of its five commands enters a host, which costs
{entry:.2f} s here, about what an ssh would."""


def show(report: dict[str, Any], console: Console) -> None:
    """Print all of it."""
    for size, methods in report["sizes"].items():
        console.print(_moves(size, methods))
        console.print(_steps(size, methods))
    console.print(NOTES.format(entry=report["command_entry_seconds"]), markup=False)
    console.print()
    memory = report["memory"]
    console.print(_memory(memory))
    if len(memory["sizes"]) > 1:
        first, *_, last = memory["sizes"]
        ratios = ", ".join(f"{role} {ratio:.2f}" for role, ratio in memory["peak_ratio"].items())
        console.print(f"Peak at {last} MiB over peak at {first} MiB: {ratios}")
    verdict = "PASS" if memory["holds"] else "FAIL"
    console.print(
        f"{verdict}: less than {memory['limit_mib']:.0f} MiB above idle",
        style="green" if memory["holds"] else "red",
    )


def _moves(size: str, methods: dict[str, Any]) -> Table:
    table = _table(f"A container of {size} MiB", "total s", "ratio", "downtime s", "ratio", "MiB")
    base = methods[OURS]
    for name, method in methods.items():
        table.add_row(
            name,
            f"{method['total_seconds']:.2f}",
            f"{method['total_seconds'] / base['total_seconds']:.2f}",
            f"{method['downtime_seconds']:.2f}",
            f"{method['downtime_seconds'] / base['downtime_seconds']:.2f}",
            f"{method['archive_mib']:.0f}",
        )
    return table


def _steps(size: str, methods: dict[str, Any]) -> Table:
    """Every method's steps, then what its total has beyond them."""
    table = Table(title=f"Seconds per step, {size} MiB", title_justify="left")
    for name in methods:
        table.add_column(name)
        table.add_column("s", justify="right")
    columns = [_step_cells(method) for method in methods.values()]
    for cells in zip_longest(*columns, fillvalue=("", "")):
        table.add_row(*chain.from_iterable(cells))
    return table


def _step_cells(method: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        *method["steps_seconds"].items(),
        ("outside the steps", method["overhead_seconds"]),
        *((f"  {name}", took) for name, took in method["waits_seconds"].items()),
    ]
    return [(name, f"{took:.2f}") for name, took in rows]


def _memory(memory: dict[str, Any]) -> Table:
    title = f"Memory of a worker and its children, MiB ({memory['measure']})"
    table = _table(title, "idle", "peak", "above idle")
    for size, workers in memory["sizes"].items():
        for role, worker in workers.items():
            cells = (worker[key] for key in ("idle_mib", "peak_mib", "above_idle_mib"))
            table.add_row(f"{size} MiB, {role}", *(f"{cell:.0f}" for cell in cells))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table
