"""Compare what versions begin with: "6.18.44-fc" is 6.18."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"(\d+)\.(\d+)")


def numbers(version: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) when there are none."""
    found = _NUMBERS.search(version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def at_least(version: str, least: tuple[int, int]) -> bool:
    """Whether a version is not older."""
    return numbers(version) >= least
