"""The report as a picture: one panel of bars a measurement, in SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.bench.records import OURS, Moved, Report, Works, median_downtime, median_total

PANEL_WIDTH, LABEL_WIDTH, VALUE_WIDTH = 380, 104, 62
BAR_HEIGHT, BAR_PITCH, TITLE_HEIGHT, MARGIN = 16, 22, 30, 20
COLUMNS = 2
OURS_COLOUR, PLAIN_COLOUR, INK, QUIET = "#1f6feb", "#b6bdc7", "#1f2328", "#59636e"
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Bars of one unit, all from zero. ``better`` says which end is the good one."""

    title: str
    unit: str
    better: str
    bars: Sequence[tuple[str, float]]

    @property
    def height(self) -> int:
        """In the picture's units."""
        return TITLE_HEIGHT + BAR_PITCH * len(self.bars) + MARGIN


def draw(report: Report) -> str:
    """The whole picture."""
    return picture("Podferry beside what one would type instead", list(_panels(report)))


def picture(title: str, panels: Sequence[Panel]) -> str:
    """Panels in columns."""
    rows = [panels[at : at + COLUMNS] for at in range(0, len(panels), COLUMNS)]
    width = MARGIN + COLUMNS * (PANEL_WIDTH + MARGIN)
    height = MARGIN + sum(_row_height(row) for row in rows)
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
        f"width='{width}' height='{height}' {FONT} font-size='12'>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",
    ]
    y = MARGIN
    for row in rows:
        for column, panel in enumerate(row):
            lines += _drawn(panel, MARGIN + column * (PANEL_WIDTH + MARGIN), y)
        y += _row_height(row)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _row_height(row: Sequence[Panel]) -> int:
    return max(panel.height for panel in row)


def _panels(report: Report) -> Iterator[Panel]:
    for size, works in report.transfer.items():
        yield from _rates(works, f"{size} MiB, random data")
    for size, works in report.codec.items():
        yield from _rates(works, f"{size} MiB")
    if report.moves:
        for size, moves in report.moves.sizes.items():
            yield from _moves(moves, f"move of {size} MiB")
    if report.preseed:
        where = f"{report.preseed.mib} MiB over {report.preseed.link_mbit} Mbit/s"
        yield from _moves(report.preseed.moves, where)


def _rates(works: Works, what: str) -> Iterator[Panel]:
    for work, tools in works.items():
        bars = [(name, timed.rate) for name, timed in tools.items()]
        yield Panel(title=f"{work}, {what}", unit="MiB/s", better="longer", bars=bars)


def _moves(moves: Moved, what: str) -> Iterator[Panel]:
    for name, median in (("total time", median_total), ("downtime", median_downtime)):
        bars = [(method, median(runs)) for method, runs in moves.items()]
        yield Panel(title=f"{name}, {what}", unit="s", better="shorter", bars=bars)


def _drawn(panel: Panel, x: int, y: int) -> Iterator[str]:
    yield _text(x, y + 12, panel.title, f"font-weight='600' fill='{INK}'")
    note = f"{panel.unit}, {panel.better} is better"
    yield _text(x + PANEL_WIDTH, y + 12, note, f"text-anchor='end' fill='{QUIET}'")
    longest = max((value for _, value in panel.bars), default=0.0)
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    for number, (label, value) in enumerate(panel.bars):
        top = y + TITLE_HEIGHT + number * BAR_PITCH
        length = room * value / longest if longest else 0.0
        colour = OURS_COLOUR if label == OURS else PLAIN_COLOUR
        left, base = x + LABEL_WIDTH, top + BAR_HEIGHT - 4
        yield _text(left - 8, base, label, f"text-anchor='end' fill='{INK}'")
        yield (
            f"<rect x='{left}' y='{top}' width='{length:.1f}' height='{BAR_HEIGHT}' "
            f"fill='{colour}'/>"
        )
        yield _text(left + length + 6, base, _number(value), f"fill='{INK}'")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _text(x: float, y: float, text: str, style: str) -> str:
    return f"<text x='{x:.1f}' y='{y}' {style}>{escape(text)}</text>"
