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
from tests.many.hosts import CALL_SECONDS
from tests.many.storm import Storm, outcomes

COMMAND = "`make many`"
COLUMNS = ("", "times", "waited, median", "p95", "took, median", "p95")
WHOLE = "whole migration"


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
    yield (
        f"{plan.containers} containers on {len(hosts.names)} hosts, each moved {plan.moves} times "
        f"to hosts chosen at random, all at once. The engines are fakes, whose containers hold a "
        f"few KiB and whose calls take {2000 * CALL_SECONDS:.0f} ms; Redis, Celery, the workers' "
        f"processes, the records and the archives (in a directory) are real. {len(storm.killed)} times a worker, "
        "a host's or a control worker, was killed with SIGKILL and started again 0.2 to 1.5 s "
        "later."
    )
    yield ""
    yield (
        f"{len(storm.workflows)} migrations ended within {storm.seconds:.0f} s: {ended}; {plans} "
        "plans were made beyond the first of each. Every container ran once at the end, and at no "
        "moment twice, with the memory that its last move had stopped it with, or later."
    )
    yield ""
    yield "Seconds; a step waits from the end of what it follows until its worker has it."
    yield ""
    yield from table(storm.workflows)
    yield ""
    yield (
        "`restore` waits from the start of the checkpoint, which it reads along. A step that died "
        "with its worker is not among the steps, but in the whole: found by its lease (3 s here), "
        "or, when its message was lost, after 15 s."
    )


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
