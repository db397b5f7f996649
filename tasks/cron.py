"""Cron expressions in a time zone: when they match, also where clocks are changed. Pure.

Times are mapped as RFC 5545 (3.3.5) has it. A time of day that a change skips is as long after
midnight as it says: 02:30 is 03:30 then. One that comes twice counts once, the first time; only
what runs every hour goes by the real clock, and runs in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import product
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAY = timedelta(days=1)
HORIZON_DAYS = 8 * 366 + 2  # a 29th of February may be as far away, as in 2096
HOURS = frozenset(range(24))


@dataclass(frozen=True, kw_only=True)
class CronExpression:
    """The five fields of a crontab(5) line, as the numbers that each allows; Sunday is 0.

    ``either``: days are restricted by number and by name, and one of the two is enough.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first match after a moment, in UTC; None when there is none for eight years."""
        return self._nearest(moment, zone, DAY)

    def latest(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The last match up to a moment, in UTC; None when there was none for eight years."""
        return self._nearest(moment, zone, -DAY)

    def _nearest(self, moment: datetime, zone: ZoneInfo, step: timedelta) -> datetime | None:
        forward = step > timedelta()

        def beyond(day: date) -> list[datetime]:
            return [m for m in self._on(day, zone) if (m > moment if forward else m <= moment)]

        # clocks are changed at midnight too: a match may lie in the day before or after its own,
        # and before one of the day before
        first = moment.astimezone(zone).date() - step
        for day in (first + number * step for number in range(HORIZON_DAYS)):
            found = beyond(day)
            if found:
                found += beyond(day + step)
                return min(found) if forward else max(found)
        return None

    def _on(self, day: date, zone: ZoneInfo) -> set[datetime]:
        """The matches of a day of the calendar."""
        if day.month not in self.months or not self._allows(day):
            return set()
        walls = [
            datetime.combine(day, time(hour, minute), zone)
            for hour, minute in product(self.hours, self.minutes)
        ]
        if self.hours == HOURS:
            again = [wall.replace(fold=1) for wall in walls]
            walls += [wall for wall in again if _exists(wall)]
        return {wall.astimezone(UTC) for wall in walls}

    def _allows(self, day: date) -> bool:
        numbered, named = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return numbered or named if self.either else numbered and named


@lru_cache(maxsize=256)
def parse_cron(text: str) -> CronExpression:
    """Minute, hour, day, month and weekday with ``*``, lists, ranges, steps, English names.

    As in crontab(5), Sunday is 0 or 7, and a line that restricts day and weekday wants one of the
    two. Raises ValueError, which says what is wrong.
    """
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(
            f"{text!r} is no cron expression: it has minute, hour, day, month and weekday, "
            "such as '0 3 * * sun'"
        )
    minutes, hours, days, months, weekdays = fields
    made = CronExpression(
        minutes=_field("minute", minutes, 0, 59),
        hours=_field("hour", hours, 0, 23),
        days=_field("day", days, 1, 31),
        months=_field("month", months, 1, 12, MONTHS),
        weekdays=frozenset(n % 7 for n in _field("weekday", weekdays, 0, 7, WEEKDAYS)),
        either=not (days.startswith("*") or weekdays.startswith("*")),
    )
    if made.after(datetime(2096, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) is None:
        raise ValueError(f"{text!r} names a day that never comes")
    return made


def _field(
    name: str, text: str, low: int, high: int, names: tuple[str, ...] = ()
) -> frozenset[int]:
    try:
        return frozenset(n for part in text.split(",") for n in _part(part, low, high, names))
    except ValueError:
        raise ValueError(f"{text!r} is no {name} of a cron expression ({low}-{high})") from None


def _part(text: str, low: int, high: int, names: tuple[str, ...]) -> range:
    span, stepped, step = text.partition("/")
    first, ranged, last = span.partition("-")
    begin = low if span == "*" else _number(first, low, names)
    end = high if span == "*" or (stepped and not ranged) else begin
    if ranged:
        end = _number(last, low, names)
        end = 7 if names is WEEKDAYS and end == 0 < begin else end
    if not low <= begin <= end <= high or (stepped and not step.isdecimal()):
        raise ValueError(text)
    return range(begin, end + 1, int(step) if stepped else 1)  # a step of 0 is a ValueError


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    if not (text.isdecimal() and text.isascii()):
        raise ValueError(text)
    return int(text)


def _exists(wall: datetime) -> bool:
    """Whether clocks show this time, and a second time at that."""
    back = wall.astimezone(UTC).astimezone(wall.tzinfo)
    return back.replace(tzinfo=None, fold=0) == wall.replace(tzinfo=None, fold=0)
