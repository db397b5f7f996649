"""HTML as a tree, so that no text can become markup: the standard library writes and escapes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
Child = Element | str | None


def el(tag: str, *children: Child, **attributes: object) -> Element:
    """An element. ``class_`` is its class; an underscore in a name is a dash, None no attribute."""
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            made.set(name.rstrip("_").replace("_", "-"), _shown(str(value)))
    for child in children:
        _append(made, child)
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]]) -> Element:
    """A table; a cell of several words may have more lines."""
    head = el("tr", *(el("th", name) for name in columns))
    body = (el("tr", *(el("td", cell) for cell in row)) for row in rows)
    return el("div", el("table", el("thead", head), el("tbody", *body)), class_="wide")


def render(page: Element) -> str:
    """The document's text."""
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"


def _append(parent: Element, child: Child) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif child is not None and len(parent):
        parent[-1].tail = (parent[-1].tail or "") + _shown(child)
    elif child is not None:
        parent.text = (parent.text or "") + _shown(child)


def _shown(text: str) -> str:
    """Without characters that HTML forbids: an error's message may quote anything."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
