"""The report as a picture: what a move costs, by the size of the installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench.plot import Panel, picture
from tests.soak.records import Report, Soak

KIB = 1024
TITLE = "What a move costs, by the number of hosts"


def draw(report: Report) -> str:
    """The whole picture: where all bars of a panel are as long, cost grows as the moves do."""
    return picture(TITLE, list(_panels(report)))


def _panels(report: Report) -> Iterator[Panel]:
    yield _panel(report, "control workers' CPU", "ms a move", lambda s: s.milliseconds("control"))
    yield _panel(report, "Redis' CPU", "ms a move", lambda s: s.milliseconds("redis"))
    yield _panel(report, "host workers' CPU", "ms a move", lambda s: s.milliseconds("hosts"))
    yield _panel(report, "Redis commands", "a move", lambda s: s.commands_per_move)
    yield _panel(report, "Redis memory kept", "KiB a move", lambda s: s.memory_per_move / KIB)


def _panel(report: Report, title: str, unit: str, value: Callable[[Soak], float]) -> Panel:
    bars = [(f"{soak.hosts} hosts", value(soak)) for soak in report.soaks]
    return Panel(title=title, unit=unit, better="shorter", bars=bars)
