"""The report for a terminal, and as the document in docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from rich.console import Console
from rich.table import Table as RichTable

from tests.bench.claims import claims
from tests.bench.records import Machine, Report
from tests.bench.tables import Table, steps, tables

COMMANDS = "`make bench` (`make bench-plot` writes this file and the plot from its report)"
_NUMBER = re.compile(r"[\d.]*")
HOW_TO_READ = """\
Everything runs in turn, in one run, on one machine that hosts, store and workers share: compare the
rows of one table, and trust ratios more than numbers. Numbers are medians.

- **To and from the store**: a file of random bytes. `podferry` tries to compress them (in vain),
  encrypts and verifies; the others do not. `mc` is timed as a process, `podferry` and `boto3`
  (`upload_fileobj` and `download_fileobj` as they come) as calls. Files lie in memory, MinIO's on
  the disk. Ratios are to the fastest of the plain tools.
- **Compressing and encrypting**: a file on one machine, beside the command lines one would type.
- **Moving**: total is from the first command to the end of the last, downtime the largest gap in
  the container's own clock. `script` is `podman container checkpoint --export`, `mc cp` to the
  store and from it, `podman container restore --import`, `podman rm`: {entry} Podferry needs one
  command. `bare REST` is a Python program of nothing but Podman's REST calls and boto3's transfers.
  Ratios are to `podferry`: above 1, it is faster.
- **Checkpoints**: bytes in the store, all of them.
- **Emptying a host**: containers of 8 to 512 MiB to three others; ratios are to the script's time.
  `bare REST` moves as many at a time as the drain does: what Podman, CRIU and the store alone work
  is the least that anything takes which moves containers through them.
- **Memory**: of a worker with all its processes; "above idle" is what one migration adds."""


def show(report: Report, console: Console) -> None:
    """Print all of it."""
    for table in chain(tables(report), steps(report)):
        console.print(_rich(table))
    for section, why in report.skipped.items():
        console.print(f"{section} was skipped: {why}", markup=False)
    judged = claims(report)
    missed = [claim for claim in judged if not claim.holds]
    for claim in missed:
        console.print(f"FAIL: {claim.what}: {claim.measured}, wanted {claim.wanted}", style="red")
    if judged and not missed:
        console.print("PASS: every promise above holds", style="green")


def document(report: Report) -> str:
    """docs/bench.md."""
    return "\n".join(_document(report)) + "\n"


def _document(report: Report) -> Iterator[str]:
    yield "# Measured"
    yield ""
    yield f"By {COMMANDS}: {_machine(report.machine)}."
    yield ""
    yield "![The same as bars](bench.svg)"
    yield ""
    entry = "five commands, each of which enters a host."
    if report.moves:
        entry = f"five commands, each of which enters a host in {report.moves.entry:.2f} s."
    yield HOW_TO_READ.format(entry=entry)
    for table in tables(report):
        yield ""
        yield from _markdown(table)
    for section, why in report.skipped.items():
        yield ""
        yield f"Not measured: {section}, because {why}."


def _machine(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"{machine.taken:%Y-%m-%d}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, "
        f"Linux {machine.kernel}, {versions}; load before it began {machine.load:.1f}"
    )


def _markdown(table: Table) -> Iterator[str]:
    yield f"## {table.title}"
    yield ""
    yield f"| {' | '.join(table.columns)} |"
    yield f"| --- |{' ---: |' * (len(table.columns) - 1)}"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=table.title, title_justify="left")
    for column, cells in zip(table.columns, zip(*table.rows, strict=True), strict=True):
        numbers = all(_NUMBER.fullmatch(cell) for cell in cells)
        shown.add_column(column, justify="right" if numbers else "left")
    for row in table.rows:
        shown.add_row(*row)
    return shown
