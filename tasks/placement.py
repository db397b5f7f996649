"""Where a workload goes that nobody named a host for."""

from __future__ import annotations

from collections.abc import Mapping


def emptiest(running: Mapping[str, int]) -> str | None:
    """The host with the fewest running containers, of equals the first by name; None of none."""
    return min(sorted(running), key=lambda host: running[host], default=None)
