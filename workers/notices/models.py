"""What a reclaim notice is, and what tells of one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from pydantic import AwareDatetime

from tasks.models import Model


class Notice(Model):
    """A machine will be taken away at ``deadline``."""

    source: str  # as it stands in PODFERRY_NOTICES
    deadline: AwareDatetime
    reason: str
    id: str  # the same however often, and by whomever on this host, the event is seen


class SourceError(Exception):
    """A source cannot be reached, or says what is no notice. Holds no secrets."""


class Source(Protocol):
    """Where notices come from. ``name`` is as in PODFERRY_NOTICES."""

    name: str

    def look(self) -> Sequence[Notice]:
        """The notices that stand now. Raises SourceError."""


def event_id(*parts: object) -> str:
    """A short name for an event, from what makes it different from others."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]
