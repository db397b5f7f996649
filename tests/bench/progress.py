"""What a person sees while it runs."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)
