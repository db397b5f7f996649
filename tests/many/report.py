"""What a storm came to: how long everything waited and took."""

from __future__ import annotations

import math
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from podferry import StepState, Unit, Workflow
from tasks.models import Step, now
from tasks.reconcile import LOST_AFTER
from tests.many.hosts import CALL_SECONDS
from tests.many.installation import LEASE_SECONDS
from tests.many.storm import RESTART_SECONDS, Storm, outcomes

COMMAND = "`make many`"
COLUMNS = ("", "times", "waited, median", "p95", "took, median", "p95")
WHOLE = "whole migration"
ABOUT = """\
{containers} containers on {hosts} hosts, each moved {moves} times to hosts chosen at random, all at
once. The engines are fakes, whose containers hold a few KiB and whose calls take {call_ms} ms.
Redis, Celery, the workers' processes, the records and the archives (in a directory) are real.
{kills} times a worker, a host's or a control worker, was killed with all its processes (SIGKILL)
and started again {restart} s later."""
HOW_TO_READ = f"""\
A `restore` waits from the start of the checkpoint, which it reads along. What died with its worker
is not among the steps, but in the whole: a step is found by its lease ({LEASE_SECONDS} s here), a
message that was lost after {LOST_AFTER.total_seconds():.0f} s. A host's steps wait while its
worker starts, for which all that run here share the cores."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table, in seconds: how often, and for how long at half and most of them."""

    what: str
    waited: Sequence[float]
    took: Sequence[float]

    def cells(self) -> tuple[str, ...]:
        """As they are shown."""
        figures = (_figures(self.waited), _figures(self.took))
        return (self.what, str(len(self.took)), *(f for pair in figures for f in pair))


def rows(workflows: Sequence[Workflow]) -> Iterator[Row]:
    """The steps that were done in the order of a plan, then the whole."""
    waited: dict[Unit, list[float]] = defaultdict(list)
    took: dict[Unit, list[float]] = defaultdict(list)
    for workflow in workflows:
        for index, step in enumerate(workflow.steps):
            if step.state is StepState.DONE and step.seconds is not None:
                took[step.unit].append(step.seconds)
                waited[step.unit] += _waited(workflow, index)
    for unit in (unit for unit in Unit if unit in took):
        yield Row(what=unit.value, waited=waited[unit], took=took[unit])
    yield Row(
        what=WHOLE,
        waited=[_between(w.created, w.steps[0].started) for w in workflows if w.steps],
        took=[_between(w.created, w.ended) for w in workflows],
    )


def lines(storm: Storm) -> Iterator[str]:
    """The run as a document."""
    plan, hosts = storm.plan, storm.installation.hosts
    ended = ", ".join(f"{count} {outcome}" for outcome, count in _ended(storm))
    plans = sum(w.epoch - 1 for w in storm.workflows)
    yield "# Many migrations, and workers that die"
    yield ""
    yield f"By {COMMAND}, which writes this file: {_machine()}."
    yield ""
    yield ABOUT.format(
        containers=plan.containers,
        hosts=len(hosts.names),
        moves=plan.moves,
        call_ms=round(2000 * CALL_SECONDS),
        kills=len(storm.killed),
        restart=" to ".join(f"{seconds:g}" for seconds in RESTART_SECONDS),
    )
    yield ""
    yield (
        f"{len(storm.workflows)} migrations ended within {storm.seconds:.0f} s: {ended}. {plans} "
        "times something was planned anew. Every container ran once at the end and at no moment "
        "twice, with the memory that its last checkpoint took, or what came of it."
    )
    yield ""
    yield "Seconds; a step waits from the end of what it follows until its worker has it."
    yield ""
    yield from table(storm.workflows)
    yield ""
    yield HOW_TO_READ


def table(workflows: Sequence[Workflow]) -> Iterator[str]:
    """The table, in Markdown."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"| --- |{' ---: |' * (len(COLUMNS) - 1)}"
    for row in rows(workflows):
        yield f"| {' | '.join(row.cells())} |"


def _waited(workflow: Workflow, index: int) -> list[float]:
    """How long a step waited for a worker; nothing where a plan began after a failure."""
    step, before = workflow.steps[index], workflow.steps[index - 1] if index else None
    if before is None:
        return [_between(workflow.created, step.started)]
    if before.epoch != step.epoch:
        return []
    return [max(0.0, _between(_free(before), step.started))]


def _free(before: Step) -> datetime | None:
    return before.started if before.unit is Unit.CHECKPOINT else before.ended


def _between(began: datetime | None, ended: datetime | None) -> float:
    return (ended - began).total_seconds() if began and ended else math.nan


def _figures(seconds: Sequence[float]) -> tuple[str, str]:
    known = sorted(value for value in seconds if not math.isnan(value))
    if not known:
        return "", ""
    at = max(0, math.ceil(0.95 * len(known)) - 1)
    return f"{statistics.median(known):.2f}", f"{known[at]:.2f}"


def _ended(storm: Storm) -> list[tuple[str, int]]:
    return [(o.value, count) for o, count in outcomes(storm.workflows).most_common()]


def _machine() -> str:
    return f"{now():%Y-%m-%d}, {os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}"
