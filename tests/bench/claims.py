"""What Podferry promises of its speed and size, held against a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.records import (
    OURS,
    Drained,
    Incremental,
    Memory,
    Moved,
    Noticed,
    Preseed,
    Report,
    Works,
    median_downtime,
    median_total,
)

SCRIPT = "script"  # what the names of the hand-written pipelines begin with
REST = "bare REST"
LIMIT_MIB = 150.0  # above idle, for each worker with its children


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One promise. ``timed``: it depends on the machine and on what else runs there."""

    what: str
    wanted: str
    measured: str
    holds: bool
    timed: bool = True


def claims(report: Report) -> list[Claim]:
    """Everything that this report can tell about."""
    found: list[Claim] = []
    for size, works in report.transfer.items():
        found += _transfers(size, works)
    if report.moves:
        for size, moves in report.moves.sizes.items():
            found += _moves(size, moves)
    if report.incremental:
        found.append(_incremental(report.incremental))
    if report.preseed:
        found.append(_preseed(report.preseed))
    if report.memory:
        found += _memory(report.memory)
    if report.drain:
        found += _drain(report.drain)
    if report.notice:
        found.append(_notice(report.notice))
    return found


def fastest_script(moves: Moved, *, downtime: bool = False) -> float:
    """Seconds of the best of the hand-written pipelines."""
    median = median_downtime if downtime else median_total
    return min(median(runs) for name, runs in moves.items() if name.startswith(SCRIPT))


def _transfers(size: int, works: Works) -> Iterator[Claim]:
    for what, tools in works.items():
        best, plain = max((t.rate, name) for name, t in tools.items() if name != OURS)
        ratio = tools[OURS].rate / best
        yield Claim(
            what=f"{what} of {size} MiB: rate over the fastest plain tool's ({plain})",
            wanted="≥ 0.9",
            measured=f"{ratio:.2f}",
            holds=ratio >= 0.9,
        )


def _moves(size: int, moves: Moved) -> Iterator[Claim]:
    ours = moves[OURS]
    if size >= 1024:
        total = median_total(ours) / fastest_script(moves)
        downtime = median_downtime(ours) / fastest_script(moves, downtime=True)
        for what, ratio in (("total time", total), ("downtime", downtime)):
            yield Claim(
                what=f"move of {size} MiB: {what} over the best script's",
                wanted="< 1, aimed at 0.7",
                measured=f"{ratio:.2f}",
                holds=ratio < 1,
            )
    else:
        more = median_total(ours) - median_total(moves[REST])
        yield Claim(
            what=f"move of {size} MiB: total time beyond the bare REST calls'",
            wanted="≤ 0.5 s",
            measured=f"{more:.2f} s",
            holds=more <= 0.5,
        )


def _incremental(found: Incremental) -> Claim:
    return Claim(
        what=f"second checkpoint of {found.mib} MiB, {found.changed:.0%} of its pages changed: "
        "bytes over the first's",
        wanted="≤ 0.08",
        measured=f"{found.ratio:.3f}",
        holds=found.ratio <= 0.08,
        timed=False,
    )


def _preseed(found: Preseed) -> Claim:
    script = fastest_script(found.moves, downtime=True)
    ratio = median_downtime(found.moves[OURS]) / script
    return Claim(
        what=f"pre-seeded move of {found.mib} MiB over {found.link_mbit} Mbit/s: downtime over the "
        "script's",
        wanted="≤ 0.4",
        measured=f"{ratio:.2f}",
        holds=ratio <= 0.4,
    )


def _drain(found: Drained) -> Iterator[Claim]:
    off = max(found.expected, found.took) / min(found.expected, found.took)
    yield Claim(
        what=f"drain of {found.containers} containers: the plan's seconds beside the real ones, "
        "off by a factor of",
        wanted="≤ 1.5",
        measured=f"{off:.2f}",
        holds=off <= 1.5,
    )
    ratio, floor = found.took / found.script, found.rest / found.script
    yield Claim(
        what=f"drain of {found.containers} containers: time over the script's, one after another",
        wanted="≤ 0.33",
        measured=f"{ratio:.2f} ({REST}: {floor:.2f})",
        holds=ratio <= 1 / 3,
    )


def _notice(found: Noticed) -> Claim:
    return Claim(
        what=f"{found.notice} s of notice for {found.containers} containers of {found.mib} MiB: "
        "the last archive stored after",
        wanted=f"< {found.notice} s",
        measured=f"{found.stored:.1f} s",
        holds=found.stored < found.notice,
    )


def _memory(memory: Memory) -> Iterator[Claim]:
    highest = max(g.above_idle_mib for roles in memory.sizes.values() for g in roles.values())
    yield Claim(
        what="memory of a worker and its children above idle, at most",
        wanted=f"< {LIMIT_MIB:.0f} MiB",
        measured=f"{highest:.0f} MiB",
        holds=highest < LIMIT_MIB,
        timed=False,
    )
    if len(memory.sizes) > 1:
        for role in memory.sizes[min(memory.sizes)]:
            ratio = memory.peak_ratio(role)
            yield Claim(
                what=f"peak memory of the {role}'s worker at {max(memory.sizes)} MiB over that at "
                f"{min(memory.sizes)} MiB",
                wanted="0.8 … 1.2",
                measured=f"{ratio:.2f}",
                holds=0.8 <= ratio <= 1.2,
                timed=False,
            )
