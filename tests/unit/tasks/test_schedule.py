"""What a moment makes of a schedule's record. Nothing is stored, nothing is begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.actions import CheckpointAction, Cron, DrainAction, Every
from tasks.schedule import (
    KEEP_RUNS,
    LEASE,
    MISSED_AFTER,
    Missed,
    RunState,
    Schedule,
    new_schedule,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
WEB = CheckpointAction(workload="web")


def hourly(missed: Missed = Missed.SKIP, jitter: timedelta = timedelta()) -> Schedule:
    """A schedule whose first run is an hour after START."""
    times = Every(every=HOUR, since=START)
    return new_schedule("web", WEB, times, missed=missed, jitter=jitter, moment=START)


def test_nothing_is_taken_before_its_time() -> None:
    schedule = hourly()
    assert schedule.wakes == START + HOUR
    assert schedule.take(START + HOUR - SECOND) == (schedule, None)


def test_a_run_is_taken_once_and_again_when_its_worker_died() -> None:
    schedule, run = hourly().take(START + HOUR)
    assert run is not None
    assert (run.planned, run.state) == (START + HOUR, RunState.ASKED)
    assert run.id.startswith("checkpoint-20260301010000-")
    assert schedule.take(START + HOUR + SECOND) == (schedule, None)
    again, retaken = schedule.take(START + HOUR + LEASE)
    assert retaken is not None
    assert retaken.id == run.id
    assert len(again.runs) == 1


@given(late=st.integers(0, 3 * 86400), missed=st.sampled_from(Missed))
def test_however_late_one_run_at_most_is_begun_and_the_next_is_ahead(
    late: int, missed: Missed
) -> None:
    moment = START + HOUR + late * SECOND
    schedule, run = hourly(missed).take(moment)
    [noted] = schedule.runs
    newest = START + (moment - START) // HOUR * HOUR
    assert (noted.planned, schedule.next) == (newest, newest + HOUR)
    in_time = moment - newest <= MISSED_AFTER
    assert (run is not None) == (in_time or missed is Missed.ONCE)
    assert (noted.state is RunState.MISSED) == (run is None)


@given(seconds=st.integers(0, 10 * 3600))
def test_jitter_delays_a_run_and_loses_none(seconds: int) -> None:
    schedule = hourly(Missed.ONCE, jitter=HOUR - SECOND)
    first = schedule.begins(schedule.next)
    assert START + HOUR <= first < START + 2 * HOUR
    moment = START + seconds * SECOND
    new, run = schedule.take(moment)
    if moment < first:
        assert (new, run) == (schedule, None)
    else:
        assert run is not None
        assert new.begins(run.planned) <= moment < new.begins(new.next)


def test_jitter_spreads_schedules_and_is_the_same_for_everybody() -> None:
    schedules = [hourly(jitter=HOUR / 2).model_copy(update={"name": f"s{n}"}) for n in range(20)]
    begins = {schedule.begins(START) for schedule in schedules}
    assert len(begins) == 20
    assert begins == {schedule.begins(START) for schedule in schedules}


def test_jitter_is_shorter_than_the_time_between_two_runs() -> None:
    with pytest.raises(ValueError, match="too long"):
        hourly(jitter=HOUR)


def test_one_that_is_paused_does_not_wake() -> None:
    paused = hourly().model_copy(update={"paused": True})
    assert paused.wakes is None
    assert paused.take(START + 9 * HOUR) == (paused, None)
    assert paused.upcoming(5, START) == ()


def test_a_run_out_of_turn_leaves_the_times_as_they_are() -> None:
    paused = hourly().model_copy(update={"paused": True})
    asked, run = paused.asked(START)
    assert (asked.next, asked.wakes) == (paused.next, START)
    taken, found = asked.take(START)
    assert found is not None
    assert (found.id, taken.paused) == (run.id, True)


def test_the_newest_runs_are_kept_and_those_that_are_not_over() -> None:
    schedule, first = hourly().asked(START)
    for hour in range(1, KEEP_RUNS + 5):
        schedule, run = schedule.asked(START + hour * HOUR)
        schedule = schedule.with_run(run.over("done"))
    assert len(schedule.runs) == KEEP_RUNS + 1
    assert schedule.runs[0].id == first.id
    assert schedule.runs[-1].planned == START + (KEEP_RUNS + 4) * HOUR


def test_the_next_times_are_those_of_the_zone() -> None:
    cron = Cron(expression="0 3 * * sun", zone="Europe/Berlin")
    schedule = new_schedule("w", WEB, cron, moment=datetime(2026, 3, 20, tzinfo=UTC))
    coming = schedule.upcoming(3, datetime(2026, 3, 20, tzinfo=UTC))
    assert [f"{at:%m-%d %H:%M}" for at in coming] == ["03-22 02:00", "03-29 01:00", "04-05 01:00"]


def test_a_record_comes_back_as_it_was_written() -> None:
    action = DrainAction(host="a", deadline=HOUR, bring_back_after=2 * HOUR, max_parallel=3)
    cron = Cron(expression="0 3 * * sun", zone="Europe/Berlin")
    written, _ = new_schedule("patch", action, cron, jitter=SECOND).asked(START)
    assert Schedule.model_validate_json(written.model_dump_json()) == written


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "Europe", "../etc/passwd", "", "CEST"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="unknown time zone"):
        Cron(expression="0 3 * * *", zone=zone)


def test_what_is_too_often_is_refused() -> None:
    with pytest.raises(ValidationError, match="every"):
        Every(every=timedelta(seconds=9), since=START)
