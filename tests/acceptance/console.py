"""The commands that a document shows, so that a test can type them."""

from __future__ import annotations

import re
from pathlib import Path

FENCE = re.compile(r"```(?P<language>\w+)\n(?P<body>.*?)```", re.DOTALL)
COMMENT = re.compile(r"\s{2,}#.*$")


def commands(document: Path) -> list[str]:
    """Every line behind a ``$`` in the document's console blocks, without its comment."""
    return [line for block in blocks(document, "console") for line in shown(block)]


def shown(block: str) -> list[str]:
    """The lines behind a ``$`` of one block."""
    lines = (line for line in block.splitlines() if line.startswith("$ "))
    return [COMMENT.sub("", line.removeprefix("$ ")).strip() for line in lines]


def blocks(document: Path, language: str) -> list[str]:
    """The bodies of the document's fenced blocks in one language."""
    return [body for name, body in every_block(document) if name == language]


def every_block(document: Path) -> list[tuple[str, str]]:
    """Every fenced block of the document: its language and its body."""
    return [(m["language"], m["body"]) for m in FENCE.finditer(document.read_text())]
