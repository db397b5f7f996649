"""Moments as clouds and people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from workers.notices.models import SourceError

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,6})?")


def parse_moment(text: str) -> datetime:
    """ISO 8601, or RFC 1123 as ``Mon, 19 Sep 2016 18:29:47 GMT``; without a zone it is UTC.

    Raises SourceError.
    """
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = parse(text.strip())
        except (ValueError, OverflowError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise SourceError(f"{text[:80]!r} is no time")


def parse_deadline(text: str, since: datetime) -> datetime:
    """A moment, or seconds after ``since``. Raises SourceError."""
    if not _SECONDS.fullmatch(text.strip()):
        return parse_moment(text)
    try:
        return since + timedelta(seconds=float(text))
    except OverflowError as error:
        raise SourceError(f"{text[:80]!r} is too far away") from error
