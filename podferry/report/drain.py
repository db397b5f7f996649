"""The report of a drain, or of the way back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from xml.etree.ElementTree import Element

from podferry.cli.common import seconds, size
from podferry.report.markup import Child, el, table
from podferry.report.page import box, clock, facts, key, page, section
from podferry.report.picture import Bar, Lane, Mark, Picture
from tasks.downtime import downtime
from tasks.drains.models import Drain, DrainResult, Item, ItemState
from tasks.models import Outcome, State, Workflow

Workflows = Mapping[str, Workflow]  # by id: those that the items name, as far as they are kept
STAYED = "not moved"
COLUMNS = (
    *("workload", "how", "to", "state", "after", "took", "expected"),
    *("not running", "memory", "workflow", "why"),
)


def drain_report(drain: Drain, workflows: Workflows, moment: datetime) -> str:
    """A page: a bar for each workload in its target's lane, and what came of it."""
    picture = _picture(drain, moment)
    rows = (_row(drain, item, workflows.get(item.workflow_id), moment) for item in drain.items)
    kinds = [_kind(item) for item in drain.items if item.began]
    kinds += ["deadline"] if drain.deadline else []
    return page(
        _headline(drain),
        f"{drain.id}: {drain.result or drain.state}",
        [
            _told(drain, workflows),
            _facts(drain, moment),
            section("Timeline", picture, key(kinds)) if picture is not None else None,
            section("Workloads", table(COLUMNS, rows)),
        ],
        moment,
    )


def _headline(drain: Drain) -> str:
    moving = [item for item in drain.items if item.state is not ItemState.STAYS]
    count = f"{sum(i.state is ItemState.DONE for i in moving)} of {len(moving)} workloads"
    if drain.back:
        return f"{count} came home to {drain.host}"
    match drain.result:
        case DrainResult.DRAINED:
            return f"{drain.host} is empty: {count} left"
        case DrainResult.CANCELLED:
            return f"The drain of {drain.host} was called off: {count} had left"
        case _:
            return f"{drain.host}: {count} left"


def _told(drain: Drain, workflows: Workflows) -> Element | None:
    lines: list[Child] = []
    for item in drain.items:
        if item.state is ItemState.FAILED or (item.reason and item.waiting):
            workflow = workflows.get(item.workflow_id)
            command = workflow.next_command if workflow else ""
            said = f"{item.workload}: {item.reason or item.state}"
            lines.append(el("span", f"{said}. Next: ", el("code", command)) if command else said)
    if drain.state is State.ENDED and not drain.back:
        again = el("code", f"podferry restore-host {drain.host}")
        lines.append(el("span", f"{drain.host} stays cordoned; bring all home with: ", again))
    failed = any(item.state is ItemState.FAILED for item in drain.items)
    return box(lines, "" if failed else "calm")


def _facts(drain: Drain, moment: datetime) -> Element:
    took = ((drain.ended or moment) - drain.created).total_seconds()
    kept = sum(item.outcome in {Outcome.MOVED, Outcome.RESUMED} for item in drain.items)
    cold = sum(item.outcome is Outcome.COLD for item in drain.items)
    return facts(
        [
            ("host", drain.host),
            ("why", drain.reason),
            ("asked", clock(drain.created)),
            ("ended", clock(drain.ended) if drain.ended else ""),
            ("took" if drain.ended else "so far", seconds(took)),
            ("expected", seconds(drain.estimate) if drain.estimate else ""),
            ("deadline", clock(drain.deadline) if drain.deadline else "none"),
            ("at once", f"{drain.options.max_parallel}, {drain.options.per_target} to one target"),
            ("kept their memory", str(kept)),
            ("started cold", str(cold)),
        ]
    )


def _picture(drain: Drain, moment: datetime) -> Element | None:
    begun = [item for item in drain.items if item.began]
    if not begun:
        return None
    begun.sort(key=lambda item: item.began or moment)
    targets = sorted({_lane(item) for item in begun}, key=lambda name: (name == STAYED, name))
    lanes = [
        Lane(label=target, bars=[_bar(drain, i, moment) for i in begun if _lane(i) == target])
        for target in targets
    ]
    marks = [Mark(moment=drain.created, label="asked", kind="asked")]
    if drain.deadline:
        marks.append(Mark(moment=drain.deadline, label="deadline", kind="deadline"))
    return Picture(lanes=lanes, marks=marks).draw()


def _lane(item: Item) -> str:
    return STAYED if item.state is ItemState.FAILED or not item.target else item.target


def _bar(drain: Drain, item: Item, moment: datetime) -> Bar:
    begin = item.began or moment
    end = max(begin, item.ended or drain.ended or moment)
    took = seconds((end - begin).total_seconds())
    told = f": {item.reason or item.because}" if item.reason or item.because else ""
    return Bar(
        begin=begin,
        end=end,
        label=f"{item.workload} {took}",
        kind=_kind(item),
        title=f"{item.workload}, {item.outcome or item.state}, {took}{told}",
    )


def _kind(item: Item) -> str:
    if item.state is ItemState.FAILED:
        return "failed"
    if item.state is not ItemState.DONE:
        return "running"
    return "warm" if item.outcome is Outcome.COLD else "done"


def _row(drain: Drain, item: Item, workflow: Workflow | None, moment: datetime) -> list[Child]:
    after = (item.began - drain.created).total_seconds() if item.began else None
    took = (item.ended - item.began).total_seconds() if item.ended and item.began else None
    stopped = downtime(workflow) if workflow else None
    down = ((stopped[1] or moment) - stopped[0]).total_seconds() if stopped else None
    return [
        item.workload,
        item.method,
        item.target or "",
        el("span", item.state, class_=_kind(item) if item.over and item.began else "waits"),
        seconds(after),
        seconds(took),
        seconds(item.seconds) if item.seconds else "-",
        seconds(down),
        size(item.memory_bytes) if item.memory_bytes else "",
        el("code", item.workflow_id),
        item.reason or item.because,
    ]
