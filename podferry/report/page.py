"""The page around a report: its style, for light and for dark, and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from xml.etree.ElementTree import Element

from podferry.report.markup import Child, el, render

MOMENT = "%Y-%m-%d %H:%M:%S %Z"
STYLE = files("podferry.report").joinpath("style.css")
KEY = {
    "done": "done",
    "failed": "failed",
    "running": "under way",
    "waits": "given up",
    "warm": "memory lost",
    "band": "not running",
    "turn": "next plan",
    "deadline": "deadline",
}


def page(title: str, subtitle: str, parts: Iterable[Child], moment: datetime) -> str:
    """The document. It asks nothing of any server, and a browser that obeys runs nothing in it."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", STYLE.read_text()),
    )
    made = f"podferry {version('podferry')}, {clock(moment)}"
    body = el(
        "body",
        el("h1", title),
        el("p", subtitle, class_="sub"),
        *parts,
        el("footer", made),
    )
    return render(el("html", head, body, lang="en"))


def section(title: str, *parts: Child) -> Element:
    """A part with a heading."""
    return el("section", el("h2", title), *parts)


def facts(pairs: Iterable[tuple[str, Child]]) -> Element:
    """Names with values; what is not known is left out."""
    rows: list[Element] = []
    for name, value in pairs:
        if value is not None and value != "":
            rows += [el("dt", name), el("dd", value)]
    return el("dl", *rows)


def box(lines: Sequence[Child], kind: str = "") -> Element | None:
    """What somebody has to read; None when there is nothing."""
    if not lines:
        return None
    return el("div", *(el("p", line) for line in lines), class_=f"box {kind}".strip())


def key(kinds: Iterable[str]) -> Element:
    """What the colours of these kinds mean."""
    shown = set(kinds)
    return el(
        "p",
        *(el("span", el("i", class_=k), text) for k, text in KEY.items() if k in shown),
        class_="key",
    )


def clock(moment: datetime) -> str:
    """A moment with its time zone: a report is read elsewhere."""
    return moment.astimezone().strftime(MOMENT)
