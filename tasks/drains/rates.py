"""How long a workload will take to leave a host, learnt from what left it before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.models import Kind, Unit, Workflow

# What is believed of a host that nothing has left yet, and how many moves it takes to change that.
FIXED_SECONDS = 2.0
SECONDS_PER_BYTE = 1 / (80 << 20)
COLD_SECONDS = 4.0
BELIEF = 1.0
# The scale of a belief in bytes: a move of this size tells as much as the belief.
SCALE_BYTES = 256 << 20
# What each further workload that leaves at once adds to the time of all of them.
CROWDING = 0.5


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds of a move that has the host to itself."""

    fixed: float = FIXED_SECONDS
    per_byte: float = SECONDS_PER_BYTE
    cold: float = COLD_SECONDS

    def live(self, memory_bytes: int, *, parallel: int = 1) -> float:
        """Seconds of a move with so much memory, one of so many at once."""
        return (self.fixed + self.per_byte * memory_bytes) * crowded(parallel)


def crowded(parallel: int) -> float:
    """By how much a move is slower for not being alone."""
    return 1.0 + CROWDING * (max(1, parallel) - 1)


def rates(moves: Iterable[Workflow]) -> Rates:
    """What the moves that left a host tell of the next ones."""
    moves = [w for w in moves if w.kind is Kind.MIGRATE and w.ended is not None]
    live = [(float(size), _alone(w, moves)) for w in moves if (size := _bytes(w))]
    cold = [_alone(w, moves) for w in moves if w.options.cold and w.done(Unit.UP)]
    fixed, per_byte = _fit(live)
    return Rates(
        fixed=fixed,
        per_byte=per_byte,
        cold=(COLD_SECONDS * BELIEF + sum(cold)) / (BELIEF + len(cold)),
    )


def _bytes(workflow: Workflow) -> int:
    """The memory and files that a finished live move has carried."""
    taken, restored = workflow.done(Unit.CHECKPOINT), workflow.done(Unit.RESTORE)
    size = taken.result.get("raw_bytes") if taken and restored else None
    return size if isinstance(size, int) else 0


def _alone(workflow: Workflow, others: Sequence[Workflow]) -> float:
    """Its seconds, had it been alone: those of its work, less what the others took of it."""
    began = workflow.steps[0].started or workflow.created
    ended = workflow.ended or began
    seconds = (ended - began).total_seconds()
    if seconds <= 0:
        return 0.0
    shared = sum(_overlap(workflow, other) for other in others if other.id != workflow.id)
    return seconds / crowded(round(1 + shared / seconds))


def _overlap(one: Workflow, other: Workflow) -> float:
    began = max(w.steps[0].started or w.created for w in (one, other))
    ended = min(w.ended or w.created for w in (one, other))
    return max(0.0, (ended - began).total_seconds())


def _fit(moves: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares of seconds over bytes, with the belief as two more moves."""
    believed = [(x, FIXED_SECONDS + SECONDS_PER_BYTE * x) for x in (0.0, float(SCALE_BYTES))]
    weighted = [(x, y, BELIEF / 2) for x, y in believed] + [(x, y, 1.0) for x, y in moves]
    total = sum(w for *_, w in weighted)
    mean_x = sum(w * x for x, _, w in weighted) / total
    mean_y = sum(w * y for _, y, w in weighted) / total
    spread = sum(w * (x - mean_x) ** 2 for x, _, w in weighted)
    slope = sum(w * (x - mean_x) * (y - mean_y) for x, y, w in weighted) / spread
    slope = max(slope, 0.0)
    return max(mean_y - slope * mean_x, 0.1), slope
