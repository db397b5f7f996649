"""The report of a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from xml.etree.ElementTree import Element

from podferry.cli.common import line_text, seconds, size
from podferry.cli.follow import summary
from podferry.report.markup import Child, el, table
from podferry.report.page import box, clock, facts, key, page, section
from podferry.report.picture import Bar, Lane, Mark, Picture
from runtime import Finding
from tasks.downtime import downtime
from tasks.facts import findings_of
from tasks.lines import LogLine
from tasks.models import Event, EventType, State, Step, StepState, Unit, Workflow

QUIET = frozenset({EventType.PROGRESS, EventType.STARTED, EventType.DONE})


def workflow_report(
    workflow: Workflow, events: Sequence[Event], lines: Sequence[LogLine], moment: datetime
) -> str:
    """A page: how it ended, who did what when, and why what failed. ``moment`` is now."""
    headline = summary(workflow).splitlines()[0]
    state = workflow.outcome or workflow.state
    picture = _picture(workflow, events, moment)
    return page(
        headline,
        f"{workflow.id}: {state}",
        [
            _told(workflow),
            _facts(workflow, moment),
            section("Timeline", picture, _key(workflow, events)) if picture is not None else None,
            section("Steps", table(STEP_COLUMNS, (_row(workflow, s) for s in workflow.steps))),
            _findings(findings_of(workflow)),
            _events([event for event in events if event.type not in QUIET]),
            _lines(lines),
        ],
        moment,
    )


def _told(workflow: Workflow) -> Element | None:
    lines: list[Child] = []
    if workflow.reason:
        lines.append(f"Reason: {workflow.reason}")
    for step in workflow.steps:
        told = step.error.message if step.error else ""
        if told and told not in workflow.reason:
            lines.append(f"Failed: {step.unit} on {step.host} (plan {step.epoch}): {told}")
    if workflow.next_command:
        lines.append(el("span", "Next: ", el("code", workflow.next_command)))
    return box(lines)


def _facts(workflow: Workflow, moment: datetime) -> Element:
    stopped = downtime(workflow)
    moved = sum(number for step in workflow.steps if (number := bytes_of(step)))
    took = ((workflow.ended or moment) - workflow.created).total_seconds()
    pairs: list[tuple[str, Child]] = [
        ("workload", workflow.workload),
        ("containers", ", ".join(workflow.members)),
        ("from", workflow.source),
        ("to", workflow.target),
        ("asked", clock(workflow.created)),
        ("ended", clock(workflow.ended) if workflow.ended else ""),
        ("took" if workflow.ended else "so far", seconds(took)),
        ("deadline", clock(workflow.deadline)),
        ("not running", _down(stopped, moment)),
        ("through the store", size(moved) if moved else ""),
        ("checkpoint", workflow.checkpoint_id if workflow.done(Unit.CHECKPOINT) else ""),
        ("part of", workflow.drain),
    ]
    return facts(pairs)


def _down(stopped: tuple[datetime, datetime | None] | None, moment: datetime) -> str:
    if stopped is None:
        return ""
    begin, end = stopped
    text = seconds(((end or moment) - begin).total_seconds())
    return f"{text} at most" if end else f"for {text}, and still"


def bytes_of(step: Step) -> int:
    """What a step moved through the store."""
    moved = step.result.get("bytes")
    return int(moved) if isinstance(moved, int | float) else 0


def _picture(workflow: Workflow, events: Sequence[Event], moment: datetime) -> Element | None:
    begun = [step for step in workflow.steps if step.started or step.ended]
    if not begun:
        return None
    notes = {workflow.target: "target", workflow.source: "source"}
    lanes = [
        Lane(
            label=host,
            note=notes.get(host, ""),
            bars=[_bar(workflow, step, moment) for step in begun if step.host == host],
        )
        for host in dict.fromkeys(step.host for step in begun)
    ]
    turns = [
        Mark(moment=event.time, label=event.message)
        for event in events
        if event.type is EventType.FALLBACK
    ]
    asked = [Mark(moment=workflow.created, label="asked", kind="asked")]
    return Picture(lanes=lanes, bands=list(_bands(workflow, moment)), marks=asked + turns).draw()


def _bands(workflow: Workflow, moment: datetime) -> Iterator[Bar]:
    stopped = downtime(workflow)
    if stopped is not None:
        begin, end = stopped
        yield Bar(begin=begin, end=end or moment, label="not running", kind="down")


def _bar(workflow: Workflow, step: Step, moment: datetime) -> Bar:
    begin = step.started or step.ended or moment
    end = step.ended or (workflow.ended or moment)
    took = seconds((end - begin).total_seconds())
    told = f": {step.error.message}" if step.error else ""
    return Bar(
        begin=begin,
        end=max(begin, end),
        label=f"{step.unit} {took}",
        kind=_kind(workflow, step),
        title=f"{step.unit} on {step.host}, {took}{told}",
    )


def _kind(workflow: Workflow, step: Step) -> str:
    if step.state is StepState.RUNNING:
        return "running" if workflow.state is not State.ENDED else "waits"
    return "failed" if step.state is StepState.FAILED else "done"


def _key(workflow: Workflow, events: Sequence[Event]) -> Element:
    kinds = [_kind(workflow, step) for step in workflow.steps if step.started or step.ended]
    kinds += ["band"] if downtime(workflow) else []
    kinds += ["turn"] if any(event.type is EventType.FALLBACK for event in events) else []
    return key(kinds)


STEP_COLUMNS = ("step", "host", "plan", "state", "after", "took", "bytes", "what it says")


def _row(workflow: Workflow, step: Step) -> list[Child]:
    after = (step.started - workflow.created).total_seconds() if step.started else None
    over = workflow.state is State.ENDED or step.epoch != workflow.epoch
    begun = step.state is not StepState.PENDING
    state = step.state if begun or not over else "not begun"
    return [
        step.unit,
        step.host,
        str(step.epoch),
        el("span", state, class_=_kind(workflow, step) if begun else "waits"),
        seconds(after),
        seconds(step.seconds),
        size(bytes_of(step)) if bytes_of(step) else "",
        step.error.message if step.error else "",
    ]


def _findings(found: Sequence[Finding]) -> Element | None:
    if not found:
        return None
    rows = [[f.severity, f.code, f.message, f.cure] for f in found]
    return section("What was found before", table(("", "code", "finding", "cure"), rows))


def _events(events: Sequence[Event]) -> Element | None:
    if not events:
        return None
    rows = [[clock(e.time), e.type, e.unit and str(e.unit), e.host, e.message] for e in events]
    return section("Events", table(("time", "event", "step", "host", "what it says"), rows))


def _lines(lines: Sequence[LogLine]) -> Element | None:
    """Folded: they are many."""
    if not lines:
        return None
    rows = [
        [
            clock(line.time),
            line.host or "control",
            line.unit,
            line.level,
            line_text(line),
        ]
        for line in lines
    ]
    count = f"{len(rows)} lines of all workers"
    folded = table(("time", "host", "step", "level", "line"), rows)
    return section("Log", el("details", el("summary", count), folded))
