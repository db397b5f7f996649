from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from podferry.cli.follow import progress
from tasks.models import Event, EventType

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEGAN = Event(time=NOON, type=EventType.STARTED)
MIB = 1 << 20


def after(seconds: float, done: int | None, total: int | None = None) -> Event:
    moment = NOON + timedelta(seconds=seconds)
    return Event(time=moment, type=EventType.PROGRESS, bytes=done, total=total)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (after(4, 8 * MIB), "8.0 MiB, 2.0 MiB/s"),
        (after(4, 8 * MIB, 20 * MIB), "8.0 MiB of 20.0 MiB, 2.0 MiB/s, 6 s left"),
        (after(4, 8 * MIB, 8 * MIB), "8.0 MiB of 8.0 MiB, 2.0 MiB/s, 0 s left"),
        (after(1, 1 * MIB, 1201 * MIB), "1.0 MiB of 1.2 GiB, 1.0 MiB/s, 20 min left"),
        (after(1, 0, 20 * MIB), "0 B of 20.0 MiB, 0 B/s"),
        # an archive that has grown, and clocks of two hosts that differ
        (after(-1, 9 * MIB, 8 * MIB), "9.0 MiB of 8.0 MiB, 8.8 GiB/s, 0 s left"),
        (after(4, None), ""),
    ],
)
def test_progress_is_told_as_far_as_it_is_known(event: Event, line: str) -> None:
    assert progress(event, BEGAN) == line


def test_progress_of_a_step_whose_beginning_nobody_saw_has_no_rate() -> None:
    assert progress(after(4, 8 * MIB, 20 * MIB), None) == ""
