"""One thing that stands in the way of a move, or that its owner should know."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from runtime.records import Fact


class Severity(StrEnum):
    """What a finding means for the move."""

    BLOCKER = "blocker"  # it would fail, so it is not begun
    WARNING = "warning"  # it goes on; what the message says may surprise


class Finding(Fact):
    """A finding. ``code`` is stable and documented; ``cure`` is the next step."""

    severity: Severity
    code: str
    message: str
    cure: str


def blocker(code: str, message: str, cure: str) -> Finding:
    """A finding that stops the move."""
    return Finding(severity=Severity.BLOCKER, code=code, message=message, cure=cure)


def warning(code: str, message: str, cure: str) -> Finding:
    """A finding that does not."""
    return Finding(severity=Severity.WARNING, code=code, message=message, cure=cure)


def blockers(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that stop the move, in their order."""
    return tuple(f for f in findings if f.severity is Severity.BLOCKER)
