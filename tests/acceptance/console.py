"""The commands that a document shows, so that a test can type them."""

from __future__ import annotations

import re
from pathlib import Path

FENCE = re.compile(r"```(?P<language>\w+)\n(?P<body>.*?)```", re.DOTALL)
COMMENT = re.compile(r"\s{2,}#.*$")


def commands(document: Path) -> list[str]:
    """Every line behind a ``$`` in the document's console blocks, without its comment."""
    return [
        COMMENT.sub("", line.removeprefix("$ ")).strip()
        for block in blocks(document, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def blocks(document: Path, language: str) -> list[str]:
    """The bodies of the document's fenced blocks in one language."""
    found = FENCE.finditer(document.read_text())
    return [match["body"] for match in found if match["language"] == language]
