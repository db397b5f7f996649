"""The history of a workflow as a picture: a bar for every step on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from podferry.cli.common import clock, seconds
from tasks.models import Event, EventType, Step, StepState, Workflow

NARROWEST = 20  # columns of the axis
NOTE = 10  # columns behind it
STYLES = {StepState.FAILED: "red", StepState.RUNNING: "cyan"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the picture; ``style`` is the bar's, as rich names it."""

    label: str
    bar: str
    note: str = ""
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class _Axis:
    begin: datetime
    length: timedelta
    width: int

    def column(self, moment: datetime) -> int:
        """Where a moment lies; what a clock that differs puts outside lies at the edge."""
        share = (moment - self.begin) / self.length
        return min(self.width - 1, max(0, int(share * self.width)))


def timeline(
    workflow: Workflow, events: Sequence[Event], moment: datetime, *, width: int
) -> list[Line]:
    """The steps that were begun or failed, and in between what decided on another plan.

    ``moment`` is now, where what still runs is drawn up to; ``width`` the columns of a line.
    """
    steps = [step for step in workflow.steps if step.started or step.ended]
    if not steps:
        return []
    unit = max(len(step.unit) for step in steps)
    label = unit + 1 + max(len(step.host) for step in steps)
    axis = _axis(workflow, steps, moment, max(NARROWEST, width - label - NOTE - 2))
    turns = [event for event in events if event.type is EventType.FALLBACK]
    lines = [_scale(workflow, axis)]
    for step in steps:
        while turns and step.epoch > 1 and turns[0].time <= _begun(step):
            lines.append(_turn(turns.pop(0), axis))
        lines.append(_bar(f"{step.unit:{unit}} {step.host}", step, axis, moment))
    lines += [_turn(turn, axis) for turn in turns]
    return [Line(label=f"{x.label:{label}}", bar=x.bar, note=x.note, style=x.style) for x in lines]


def _axis(workflow: Workflow, steps: Sequence[Step], moment: datetime, width: int) -> _Axis:
    begin = min(workflow.created, *map(_begun, steps))
    end = max(workflow.ended or moment, *(step.ended or begin for step in steps))
    return _Axis(begin=begin, length=max(end - begin, timedelta(milliseconds=1)), width=width)


def _begun(step: Step) -> datetime:
    """When a step began; one that nobody ever took failed at once."""
    found = step.started or step.ended
    if found is None:
        raise ValueError(f"step {step.unit} has not begun")
    return found


def _scale(workflow: Workflow, axis: _Axis) -> Line:
    left, right = clock(axis.begin, workflow.created), f"+{seconds(axis.length.total_seconds())}"
    return Line(label="", bar=f"{left}{right:>{axis.width - len(left)}}", style="dim")


def _bar(label: str, step: Step, axis: _Axis, moment: datetime) -> Line:
    begin = axis.column(_begun(step))
    end = max(begin, axis.column(step.ended or moment))
    marks = "━" * (end - begin + 1)
    if step.state is StepState.FAILED:
        marks = f"{marks[:-1]}✗"
    return Line(
        label=label,
        bar=f"{' ' * begin + marks:{axis.width}}",
        note=seconds(step.seconds) if step.ended else "…",
        style=STYLES.get(step.state, ""),
    )


def _turn(event: Event, axis: _Axis) -> Line:
    """What was decided, on that side of its moment where there is more room."""
    at = axis.column(event.time)
    after = axis.width - at - 2
    if after >= at - 1:
        text = f"{' ' * at}↺ {_cut(event.message, after)}"
    else:
        text = f"{_cut(event.message, at - 1):>{at - 1}} ↺"
    return Line(label="", bar=f"{text:{axis.width}}", style="yellow")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
