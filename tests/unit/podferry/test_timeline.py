from __future__ import annotations

from datetime import timedelta

from podferry.cli.timeline import Line, timeline
from tasks.models import StepError, StepState, Unit, Workflow
from tests.unit.podferry.histories import at, did, migration, queued, under_way, went_cold

WIDTH = 100


def bars(lines: list[Line]) -> dict[str, str]:
    return {name(line): line.bar for line in lines if line.label.strip()}


def name(line: Line) -> str:
    return " ".join(line.label.split())


def extent(bar: str) -> tuple[int, int]:
    """The columns where a bar begins and ends."""
    return len(bar) - len(bar.lstrip()), len(bar.rstrip())


def test_a_workflow_that_nobody_began_has_no_picture() -> None:
    assert timeline(queued(), [], at(5), width=WIDTH) == []
    assert timeline(migration(), [], at(5), width=WIDTH) == []


def test_every_line_is_as_wide_as_the_terminal_at_most() -> None:
    workflow, events = went_cold()
    for width in (60, 80, 200):
        lines = timeline(workflow, events, at(99), width=width)
        assert {len(line.label) for line in lines} == {len("push_image a")}
        assert len({len(line.bar) for line in lines}) == 1
        assert all(len(line.label) + len(line.bar) + len(line.note) + 2 <= width for line in lines)


def test_bars_lie_on_one_axis() -> None:
    workflow, _ = went_cold()
    drawn = bars(timeline(workflow, [], at(99), width=WIDTH))
    width = len(drawn["describe a"])
    begin, end = extent(drawn["describe a"])
    assert (begin, end - width // 10) in {(0, 0), (0, 1)}
    assert extent(drawn["up b"])[0] == int(0.8 * width)
    assert extent(drawn["finish a"])[1] == width


def test_steps_of_the_relay_overlap() -> None:
    drawn = bars(timeline(went_cold()[0], [], at(99), width=WIDTH))
    written, read = extent(drawn["checkpoint a"]), extent(drawn["restore b"])
    assert written[0] < read[0] < written[1] < read[1]


def test_a_failure_is_marked_where_it_happened() -> None:
    lines = timeline(went_cold()[0], [], at(99), width=WIDTH)
    [failed] = [line for line in lines if "✗" in line.bar]
    assert name(failed) == "restore b"
    assert failed.bar.rstrip().endswith("✗")
    assert failed.style == "red"


def test_what_runs_is_drawn_up_to_now() -> None:
    lines = timeline(under_way(), [], at(20), width=WIDTH)
    assert "+20.00 s" in lines[0].bar
    running = [line for line in lines if line.note == "…"]
    assert [name(line) for line in running] == ["checkpoint a", "restore b"]
    assert all(line.bar.endswith("━") for line in running)


def test_a_turn_stands_between_the_plans() -> None:
    workflow, events = went_cold()
    lines = timeline(workflow, events, at(99), width=WIDTH)
    labels = [name(line) for line in lines]
    turn = next(i for i, line in enumerate(lines) if "↺" in line.bar)
    assert labels[turn - 1 : turn + 2] == ["restore b", "", "up b"]
    assert "next: up on b → finish on a ↺" in lines[turn].bar
    assert lines[turn].bar.index("↺") == int(0.75 * len(lines[turn].bar))


def test_a_turn_that_nothing_followed_yet_comes_last() -> None:
    workflow, events = went_cold()
    unbegun = workflow.model_copy(update={"steps": workflow.steps[:7], "ended": None})
    early = events[0].model_copy(update={"time": at(1), "message": "again: " + "x" * 200})
    lines = timeline(unbegun, [early], at(10), width=WIDTH)
    assert lines[-1].bar.lstrip().startswith("↺ again: xxx")
    assert lines[-1].bar.endswith("…")


def test_clocks_that_differ_keep_every_bar_on_the_axis() -> None:
    workflow, events = went_cold()
    ahead = did(workflow.steps[0], -3600, -3599)
    behind = did(workflow.steps[8], 3600, 3601)
    skewed = workflow.with_step(0, ahead).with_step(8, behind)
    lines = timeline(skewed, events, at(99), width=WIDTH)
    assert len({len(line.bar) for line in lines}) == 1


def test_a_step_that_nobody_took_failed_at_a_moment() -> None:
    workflow = migration()
    error = StepError(type="HostOfflineError", message="host 'a' is offline")
    gone = workflow.steps[0].model_copy(
        update={"state": StepState.FAILED, "ended": at(60), "error": error}
    )
    lines = timeline(workflow.with_step(0, gone), [], at(60), width=WIDTH)
    assert lines[-1].bar.strip() == "✗"
    assert extent(lines[-1].bar)[1] == len(lines[-1].bar)


def test_an_instant_is_long_enough_to_be_drawn() -> None:
    workflow: Workflow = migration()
    first = did(workflow.steps[0], 0, 0.0001)
    lines = timeline(workflow.with_step(0, first), [], at(0) + timedelta(), width=WIDTH)
    assert name(lines[-1]) == f"{Unit.DESCRIBE} a"
    assert "━" in lines[-1].bar
