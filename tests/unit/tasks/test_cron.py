"""When cron expressions match, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cron import CronExpression, parse_cron

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
LOOKED_AT = 40
# an hour, half an hour (Lord Howe), at midnight (Cairo, Havana), a minute later (St Johns, once)
ZONES = (
    *("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo"),
    *("America/Havana", "America/Santiago", "Asia/Kathmandu", "UTC"),
)


def coming(text: str, zone: ZoneInfo, since: datetime, count: int) -> list[str]:
    """The next matches, as that zone's clocks show them."""
    found = []
    moment: datetime | None = since
    for _ in range(count):
        assert moment is not None
        moment = parse_cron(text).after(moment, zone)
        assert moment is not None
        found.append(moment.astimezone(zone).strftime("%d %H:%M %z"))
    return found


SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)  # 02:00 becomes 03:00 on the 29th
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)  # 03:00 becomes 02:00 on the 25th


@pytest.mark.parametrize(
    ("text", "since", "found"),
    [
        ("30 2 * * *", SPRING, ["29 03:30 +0200", "30 02:30 +0200"]),
        ("15,45 2 * * *", SPRING, ["29 03:15 +0200", "29 03:45 +0200", "30 02:15 +0200"]),
        ("0 3 * * sun", SPRING, ["29 03:00 +0200", "05 03:00 +0200"]),
        ("0 2,3 * * *", SPRING, ["29 03:00 +0200", "30 02:00 +0200"]),
        ("30 2 * * *", AUTUMN, ["25 02:30 +0200", "26 02:30 +0100"]),
        ("15,45 2 * * *", AUTUMN, ["25 02:15 +0200", "25 02:45 +0200", "26 02:15 +0100"]),
        ("0 3 * * sun", AUTUMN, ["25 03:00 +0100", "01 03:00 +0100"]),
    ],
)
def test_a_time_that_clocks_skip_or_repeat_comes_once(
    text: str, since: datetime, found: list[str]
) -> None:
    assert coming(text, BERLIN, since, len(found)) == found


@pytest.mark.parametrize(
    ("zone", "since", "found"),
    [
        (  # 02:00 becomes 02:30
            "Australia/Lord_Howe",
            datetime(2026, 10, 3, 14, 40, tzinfo=UTC),
            ["04 01:15 +1030", "04 02:45 +1100", "04 03:15 +1100"],
        ),
        (  # 00:01 becomes 23:01 of the day before
            "America/St_Johns",
            datetime(2010, 11, 7, 1, 50, tzinfo=UTC),
            [*("06 23:30 -0230", "07 00:00 -0230"), *("06 23:30 -0330", "07 00:00 -0330")],
        ),
    ],
)
def test_changes_of_another_kind(zone: str, since: datetime, found: list[str]) -> None:
    text = "15 * * * *" if zone == "Australia/Lord_Howe" else "*/30 * * * *"
    assert coming(text, ZoneInfo(zone), since, len(found)) == found
    instants = [since]
    for _ in found:
        moment = parse_cron(text).after(instants[-1], ZoneInfo(zone))
        assert moment is not None
        assert parse_cron(text).latest(moment, ZoneInfo(zone)) == moment
        instants.append(moment)
    assert parse_cron(text).latest(instants[-1] - MINUTE, ZoneInfo(zone)) == instants[-2]


@pytest.mark.parametrize("since", [SPRING, AUTUMN])
def test_what_comes_every_hour_goes_by_the_real_clock(since: datetime) -> None:
    expression, moment = parse_cron("0 * * * *"), since
    for _ in range(24):
        found = expression.after(moment, BERLIN)
        assert found == moment + timedelta(hours=1)
        moment = found


def matches(expression: CronExpression, wall: datetime) -> bool:
    day, weekday = wall.day in expression.days, wall.isoweekday() % 7 in expression.weekdays
    return (
        wall.minute in expression.minutes
        and wall.hour in expression.hours
        and wall.month in expression.months
        and (day or weekday if expression.either else day and weekday)
    )


def by_the_minute(
    expression: CronExpression, zone: ZoneInfo, since: datetime, minutes: int
) -> set[datetime]:
    """What a clock shows, minute by minute; then what it never showed, so much later."""
    instants = [since + n * MINUTE for n in range(-180, minutes + 180)]
    shown = {i: i.astimezone(zone).replace(tzinfo=None) for i in instants}
    walls = set(shown.values())
    every_hour = len(expression.hours) == 24
    found = {
        i
        for i, wall in shown.items()
        if matches(expression, wall) and (every_hour or not i.astimezone(zone).fold)
    }
    before: datetime | None = None
    for instant, wall in sorted(shown.items()):
        while before is not None and before + MINUTE < wall:
            before += MINUTE
            gap = wall - (instant - MINUTE).astimezone(zone).replace(tzinfo=None) - MINUTE
            assert before not in walls
            if matches(expression, before):
                found.add((before + gap).replace(tzinfo=zone).astimezone(UTC))
        before = wall.replace(fold=0)
    return {i for i in found if since < i <= since + minutes * MINUTE}


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.one_of(st.just("*"), spans), st.integers(1, 15)).map(
        "{0[0]}/{0[1]}".format
    )
    part = st.one_of(number.map(str), spans, steps)
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


expressions = st.builds(
    "{} {} {} {} {}".format,
    *(field(0, 59), field(0, 23), field(1, 31).filter(lambda text: text != "31")),
    *(st.just("*"), field(0, 7)),
)


@st.composite
def near_a_change(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """A zone, and a moment within two days of a change of its clocks, if it has any."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    change = draw(st.sampled_from(changes(zone)))
    return zone, change - timedelta(minutes=draw(st.integers(-120, 240)))


@cache
def changes(zone: ZoneInfo) -> list[datetime]:
    """When the clocks are changed there in 2010, to the half hour; else some day."""
    start = datetime(2010, 1, 1, tzinfo=UTC)
    halves = [start + n * 30 * MINUTE for n in range(366 * 48)]
    offsets = [half.astimezone(zone).utcoffset() for half in halves]
    found = [halves[n] for n in range(1, len(halves)) if offsets[n] != offsets[n - 1]]
    return found or [start + timedelta(days=40)]


@settings(max_examples=60, deadline=None)
@given(text=expressions, place=near_a_change())
def test_it_agrees_with_a_clock_that_is_looked_at_every_minute(
    text: str, place: tuple[ZoneInfo, datetime]
) -> None:
    zone, since = place
    expression, minutes = parse_cron(text), 1800
    moment: datetime | None = since
    found: set[datetime] = set()
    while len(found) < LOOKED_AT:
        assert moment is not None
        moment = expression.after(moment, zone)
        if moment is None or moment > since + minutes * MINUTE:
            break
        found.add(moment)
        assert expression.latest(moment, zone) == moment
        assert expression.latest(moment + MINUTE / 2, zone) == moment
    expected = sorted(by_the_minute(expression, zone, since, minutes))
    assert sorted(found) == expected[:LOOKED_AT]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 1 jan *", "2027-01-01"),
        ("0 0 * * sun", "2026-03-29"),
        ("0 0 * * 7", "2026-03-29"),
        ("0 0 * * fri-sun", "2026-03-29"),
        ("0 0 * MAY-Jun Mon", "2026-05-04"),
        ("0 0 13 * fri", "2026-04-03"),  # either
        ("0 0 */13 * fri", "2026-05-01"),  # both: a star says so
        ("0 0 10/10 * *", "2026-03-30"),
    ],
)
def test_days(text: str, day: str) -> None:
    found = parse_cron(text).after(datetime(2026, 3, 28, 12, tzinfo=UTC), ZoneInfo("UTC"))
    assert found is not None
    assert f"{found:%Y-%m-%d}" == day


def test_a_leap_day_is_found_over_a_century() -> None:
    leap, since = parse_cron("0 0 29 2 *"), datetime(2096, 3, 1, tzinfo=UTC)
    assert leap.after(since, BERLIN) == datetime(2104, 2, 28, 23, tzinfo=UTC)
    assert leap.latest(datetime(2104, 2, 28, tzinfo=UTC), BERLIN) == datetime(
        2096, 2, 28, 23, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("* * * *", "minute, hour, day"),
        ("@daily", "minute, hour, day"),
        ("60 * * * *", "minute"),
        ("x * * * *", "minute"),
        ("sun * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1- * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("1-5-9 * * * *", "minute"),
        ("*-5 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1/ * * * *", "minute"),
        ("\u0661 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 5-3 * * *", "hour"),
        ("0 0 0 * *", "day"),
        ("0 0 * 13 *", "month"),
        ("0 0 * * 8", "weekday"),
        ("0 0 30 2 *", "never comes"),
    ],
)
def test_what_is_no_cron_expression_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_cron(text)
