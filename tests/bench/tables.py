"""The report as tables, for a terminal or a document."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from tests.bench.claims import REST, Claim, claims
from tests.bench.records import (
    OURS,
    Drained,
    Incremental,
    Memory,
    Move,
    Moved,
    Noticed,
    Report,
    Works,
    median_downtime,
    median_total,
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as they are shown; the first column of the rows is text, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(report: Report) -> Iterator[Table]:
    """What was measured, in the order of the sections, and what was promised."""
    for size, works in report.transfer.items():
        yield _rates(f"{size} MiB of incompressible data to and from the store, MiB/s", works)
    for size, works in report.codec.items():
        yield _rates(f"Compressing and encrypting {size} MiB and back, MiB/s", works)
    if report.moves:
        for size, moves in report.moves.sizes.items():
            yield _moves(f"Moving a container of {size} MiB", moves)
    if report.incremental:
        yield _incremental(report.incremental)
    if report.preseed:
        mib, mbit = report.preseed.mib, report.preseed.link_mbit
        yield _moves(f"Moving {mib} MiB over links of {mbit} Mbit/s", report.preseed.moves)
    if report.memory:
        yield _memory(report.memory)
    if report.drain:
        yield _drain(report.drain)
    if report.notice:
        yield _notice(report.notice)
    if judged := claims(report):
        yield _promised(judged)


def steps(report: Report) -> Iterator[Table]:
    """Where the time of the moves went, side by side."""
    if report.moves:
        for size, moves in report.moves.sizes.items():
            yield _steps(f"Seconds per step, {size} MiB", moves)
    if report.preseed:
        yield _steps(f"Seconds per step, {report.preseed.link_mbit} Mbit/s", report.preseed.moves)


def _rates(title: str, works: Works) -> Table:
    """Every tool's rate and how it compares with the fastest plain one."""
    tools = list(next(iter(works.values())))
    best = {what: max(t.rate for n, t in by.items() if n != OURS) for what, by in works.items()}
    return Table(
        title=title,
        columns=("", *chain.from_iterable((what, "ratio") for what in works)),
        rows=[
            (
                tool,
                *chain.from_iterable(
                    (f"{by[tool].rate:.0f}", f"{by[tool].rate / best[what]:.2f}")
                    for what, by in works.items()
                ),
            )
            for tool in tools
        ],
    )


def _moves(title: str, moves: Moved) -> Table:
    ours = moves[OURS]
    return Table(
        title=title,
        columns=("", "total s", "ratio", "downtime s", "ratio", "MiB"),
        rows=[
            (
                name,
                f"{median_total(runs):.2f}",
                f"{median_total(runs) / median_total(ours):.2f}",
                f"{median_downtime(runs):.2f}",
                f"{median_downtime(runs) / median_downtime(ours):.2f}",
                f"{statistics.median(run.archive_mib for run in runs):.0f}",
            )
            for name, runs in moves.items()
        ],
    )


def _steps(title: str, moves: Moved) -> Table:
    """Every method's steps, then what its total has beyond them."""
    columns = [_step_cells(runs) for runs in moves.values()]
    return Table(
        title=title,
        columns=[*chain.from_iterable((name, "s") for name in moves)],
        rows=[
            tuple(chain.from_iterable(cells)) for cells in zip_longest(*columns, fillvalue=("", ""))
        ],
    )


def _step_cells(runs: Sequence[Move]) -> list[tuple[str, str]]:
    beyond = statistics.median(run.total - sum(run.steps.values()) for run in runs)
    rows = [
        *_by_name([run.steps for run in runs]).items(),
        ("outside the steps", beyond),
        *((f"  {name}", took) for name, took in _by_name([run.waits for run in runs]).items()),
    ]
    return [(name, f"{took:.2f}") for name, took in rows]


def _by_name(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(chain.from_iterable(runs))  # not every run has every step
    return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in names}


def _incremental(found: Incremental) -> Table:
    return Table(
        title=f"Two checkpoints of {found.mib} MiB, {found.changed:.0%} of the pages changed",
        columns=("", "MiB stored"),
        rows=[
            ("first", f"{statistics.median(found.first_mib):.1f}"),
            ("second", f"{statistics.median(found.second_mib):.1f}"),
        ],
    )


def _memory(memory: Memory) -> Table:
    return Table(
        title=f"Memory of a worker and its children, MiB ({memory.measure})",
        columns=("", "idle", "peak", "above idle"),
        rows=[
            (
                f"{size} MiB, {role}",
                *(f"{mib:.0f}" for mib in (found.idle_mib, found.peak_mib, found.above_idle_mib)),
            )
            for size, roles in memory.sizes.items()
            for role, found in roles.items()
        ],
    )


def _drain(found: Drained) -> Table:
    return Table(
        title=f"Emptying a host of {found.containers} containers, {found.mib} MiB in all",
        columns=("", "s", "ratio", "CPU s of the machine"),
        rows=[
            ("a drain, as its dry run expected", f"{found.expected:.1f}", "", ""),
            *(
                (name, f"{took:.1f}", f"{took / found.script:.2f}", f"{worked:.1f}")
                for name, took, worked in (
                    ("a drain", found.took, found.took_cpu),
                    (f"{REST}, four at a time", found.rest, found.rest_cpu),
                    ("the script, one after another", found.script, found.script_cpu),
                )
            ),
        ],
    )


def _notice(found: Noticed) -> Table:
    return Table(
        title=f"{found.notice} s of notice for {found.containers} containers of {found.mib} MiB",
        columns=("", ""),
        rows=[
            ("last archive stored, after s", f"{found.stored:.1f}"),
            ("all healthy elsewhere, after s", f"{found.healthy:.1f}"),
            ("kept their memory", f"{found.kept}"),
        ],
    )


def _promised(judged: Sequence[Claim]) -> Table:
    return Table(
        title="What is promised",
        columns=("", "wanted", "measured", "holds"),
        rows=[(c.what, c.wanted, c.measured, "yes" if c.holds else "NO") for c in judged],
    )
