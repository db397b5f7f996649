"""What is counted of workflows and drains: how many, how long, how many bytes.

The counts stand in one hash in Redis and are added to in the transaction that changes the record,
or that takes over into it what a host has stated: each change is counted once, whoever makes it,
however often a message comes, and a worker that starts again, or one more control worker, changes
nothing about them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import TYPE_CHECKING, cast

from tasks.downtime import downtime
from tasks.drains.models import Drain, DrainResult
from tasks.models import Kind, Outcome, State, Step, StepState, Workflow

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

KEY = "podferry:tallies"
AWAY, BACK = "away", "back"
MOST_BYTES = 1 << 60  # more than this nothing has
LEASE_LOST = "LeaseLostError"
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, inf)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Something that is counted, by labels whose values are few: never a workflow or a workload.

    With ``buckets`` (upper bounds, the last one infinite) it is a histogram, else a counter.
    ``begins`` are the labels that are told before anything was counted: a rate has to see the 0.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    begins: tuple[tuple[str, ...], ...] = ()


WORKFLOWS = Tally(
    name="podferry_workflows_total",
    help="Workflows that ended.",
    labels=("kind", "outcome"),
    begins=tuple(product(Kind, Outcome)),
)
DOWNTIME = Tally(
    name="podferry_downtime_seconds",
    help="From the beginning of a move's checkpoint until its workload was healthy again.",
    labels=("outcome",),
    buckets=SECONDS,
    begins=((Outcome.MOVED,), (Outcome.COLD,), (Outcome.RESUMED,), (Outcome.CANCELLED,)),
)
FALLBACKS = Tally(
    name="podferry_fallbacks_total",
    help="Plans that took the place of one that had failed: a new try, or the next rung.",
    labels=("kind",),
    begins=tuple((kind,) for kind in Kind),
)
STEPS = Tally(
    name="podferry_step_seconds",
    help="How long steps ran that a worker had taken.",
    labels=("unit", "state"),
    buckets=SECONDS,
)
FAILURES = Tally(
    name="podferry_step_failures_total",
    help="Steps that failed, by the type of their error.",
    labels=("unit", "host", "error"),
)
LEASES = Tally(
    name="podferry_lease_expiries_total",
    help="Steps whose worker gave no sign of life for longer than its lease.",
    labels=("host",),
)
BYTES = Tally(
    name="podferry_transferred_bytes_total",
    help="Bytes that finished steps sent to the store or read from it.",
    labels=("unit", "host"),
)
DRAINS = Tally(
    name="podferry_drains_total",
    help="Drains, and ways back, that ended.",
    labels=("direction", "result"),
    begins=tuple(product((AWAY, BACK), DrainResult)),
)
TALLIES = (WORKFLOWS, DOWNTIME, FALLBACKS, STEPS, FAILURES, LEASES, BYTES, DRAINS)


@dataclass(frozen=True, kw_only=True)
class Count:
    """So much more of a tally; of a histogram, one value."""

    tally: Tally
    labels: tuple[str, ...]
    amount: float = 1.0

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.tally.labels):
            raise ValueError(f"{self.tally.name} wants {self.tally.labels}, not {self.labels}")


def of_workflow(old: Workflow, new: Workflow) -> Iterator[Count]:
    """What a change of a workflow's record adds."""
    for index, step in enumerate(new.steps):
        before = old.steps[index].state if index < len(old.steps) else StepState.PENDING
        if step.state is not before and step.state in {StepState.DONE, StepState.FAILED}:
            yield from _of_step(step)
    if 1 <= old.epoch < new.epoch:
        yield Count(tally=FALLBACKS, labels=(new.kind,))
    if new.state is not State.ENDED or old.state is State.ENDED:
        return
    outcome = new.outcome or ""
    yield Count(tally=WORKFLOWS, labels=(new.kind, outcome))
    stopped = downtime(new)
    if stopped is not None and stopped[1] is not None:
        seconds = (stopped[1] - stopped[0]).total_seconds()
        yield Count(tally=DOWNTIME, labels=(outcome,), amount=seconds)


def _of_step(step: Step) -> Iterator[Count]:
    if step.seconds is not None:
        yield Count(tally=STEPS, labels=(step.unit, step.state), amount=step.seconds)
    moved = step.result.get("bytes")
    if isinstance(moved, int) and 0 < moved < MOST_BYTES:  # a host tells it
        yield Count(tally=BYTES, labels=(step.unit, step.host), amount=moved)
    if step.error is not None:
        error = step.error.type if step.error.type.isidentifier() else ""
        yield Count(tally=FAILURES, labels=(step.unit, step.host, error))
        if step.error.type == LEASE_LOST:
            yield Count(tally=LEASES, labels=(step.host,))


def of_drain(old: Drain, new: Drain) -> Iterator[Count]:
    """What a change of a drain's record adds."""
    if new.state is State.ENDED and old.state is not State.ENDED:
        yield Count(tally=DRAINS, labels=(BACK if new.back else AWAY, new.result or ""))


def add(pipe: Pipeline, counts: Iterator[Count]) -> None:
    """Count, in the transaction of the change."""
    for count in counts:
        words = (count.tally.name, *count.labels)
        if count.tally.buckets:
            bucket = count.tally.buckets[bisect_left(count.tally.buckets, count.amount)]
            pipe.hincrby(KEY, _field(*words, f"{bucket:g}"), 1)
        pipe.hincrbyfloat(KEY, _field(*words), count.amount)


def read(redis: Redis) -> dict[Tally, dict[tuple[str, ...], float]]:
    """All that was counted, by tally and labels.

    Of a histogram: the sum of its values by their labels, and how many fell into a bucket alone
    (not into the smaller ones) by their labels and the bucket's bound.
    """
    told = cast("dict[bytes, bytes]", redis.hgetall(KEY))
    found: dict[Tally, dict[tuple[str, ...], float]] = {tally: {} for tally in TALLIES}
    names = {tally.name: tally for tally in TALLIES}
    for field, value in told.items():
        name, *labels = field.decode().split(" ")
        if name in names:  # another version may count more
            found[names[name]][tuple(labels)] = float(value)
    return found


def _field(*words: str) -> str:
    """Labels are names of hosts, types and members of enums: no blank is in them."""
    return " ".join(words)
