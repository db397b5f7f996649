"""Who did what when, as an SVG picture: lanes of bars on one axis of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from podferry.cli.common import seconds
from podferry.report.markup import el

WIDTH, LEFT, RIGHT = 1000, 120, 20  # of the picture; its edges beside the axis
ROW, TOP, HEAD = 24, 34, 8  # heights: of a bar's row, above the first lane, between lanes
LETTER = 6.6  # the width of a letter, about
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 86400)
TICKS = 10


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Something that took time. ``kind`` is a class of the page's style; ``title`` tells more."""

    begin: datetime
    end: datetime
    label: str
    kind: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A host, with its bars from top to bottom."""

    label: str
    note: str = ""
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment for all lanes."""

    moment: datetime
    label: str
    kind: str = "turn"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All of it; ``bands`` lie behind the lanes."""

    lanes: Sequence[Lane]
    bands: Sequence[Bar] = ()
    marks: Sequence[Mark] = field(default_factory=tuple)

    def draw(self) -> Element:
        """The picture as an element of the page."""
        axis = _Axis.of(self)
        height = TOP + sum(HEAD + ROW * max(1, len(lane.bars)) for lane in self.lanes) + HEAD
        parts = [*axis.ticks(height)]
        parts += [_band(band, axis, height) for band in self.bands]
        top = TOP
        for lane in self.lanes:
            parts += _lane(lane, axis, top)
            top += HEAD + ROW * max(1, len(lane.bars))
        parts += [_mark(mark, axis, height) for mark in self.marks]
        box = f"0 0 {WIDTH} {height}"
        drawn = el("svg", *parts, viewBox=box, role="img", aria_label="timeline")
        return el("div", drawn, class_="wide picture")


@dataclass(frozen=True, kw_only=True)
class _Axis:
    begin: datetime
    length: timedelta

    @classmethod
    def of(cls, picture: Picture) -> _Axis:
        bars = [*picture.bands, *(bar for lane in picture.lanes for bar in lane.bars)]
        marks = [mark.moment for mark in picture.marks]
        begin = min([bar.begin for bar in bars] + marks)
        end = max([bar.end for bar in bars] + marks)
        return cls(begin=begin, length=max(end - begin, timedelta(milliseconds=1)))

    def x(self, moment: datetime) -> float:
        share = (moment - self.begin) / self.length
        return LEFT + round(min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT), 1)

    def ticks(self, height: int) -> Iterable[Element]:
        total = self.length.total_seconds()
        every = next((step for step in STEPS if total / step <= TICKS), total / TICKS)
        for number in range(int(total / every) + 1):
            x = self.x(self.begin + timedelta(seconds=number * every))
            yield el("line", x1=x, x2=x, y1=TOP - 12, y2=height, class_="tick")
            yield el("text", f"{number * every:g} s", x=x, y=TOP - 18, class_="axis")


def _lane(lane: Lane, axis: _Axis, top: int) -> list[Element]:
    height = ROW * max(1, len(lane.bars))
    parts = [
        el("line", x1=0, x2=WIDTH, y1=top, y2=top, class_="edge"),
        el("text", lane.label, x=4, y=top + 18, class_="lane"),
        el("text", lane.note, x=4, y=top + 34, class_="note") if height > ROW else None,
    ]
    found = [part for part in parts if part is not None]
    for row, bar in enumerate(lane.bars):
        found.append(_bar(bar, axis, top + HEAD // 2 + ROW * row))
    return found


def _bar(bar: Bar, axis: _Axis, top: int) -> Element:
    """With its label inside, else on that side where there is room."""
    left, width = axis.x(bar.begin), max(3.0, axis.x(bar.end) - axis.x(bar.begin))
    needed = len(bar.label) * LETTER + 12
    if needed <= width:
        x, anchor, kind = left + 6, "start", "inside"
    elif left + width + needed <= WIDTH:
        x, anchor, kind = left + width + 5, "start", "beside"
    else:
        x, anchor, kind = left - 5, "end", "beside"
    return el(
        "g",
        el("title", bar.title or bar.label),
        el("rect", x=left, y=top, width=round(width, 1), height=ROW - 6, rx=3),
        el("text", bar.label, x=round(x, 1), y=top + 13, text_anchor=anchor, class_=kind),
        class_=f"bar {bar.kind}",
    )


def _band(band: Bar, axis: _Axis, height: int) -> Element:
    left, right = axis.x(band.begin), axis.x(band.end)
    took = seconds((band.end - band.begin).total_seconds())
    return el(
        "g",
        el("title", f"{band.label} {took}"),
        el("rect", x=left, y=TOP - 6, width=round(max(1.0, right - left), 1), height=height),
        class_=f"band {band.kind}",
    )


def _mark(mark: Mark, axis: _Axis, height: int) -> Element:
    x = axis.x(mark.moment)
    return el(
        "g",
        el("title", mark.label),
        el("line", x1=x, x2=x, y1=TOP - 8, y2=height),
        class_=f"mark {mark.kind}",
    )
