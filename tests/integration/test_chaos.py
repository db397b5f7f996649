"""A tenth of the matrix of accidents, another one with each commit; `make chaos` tries it all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podferry import Outcome, Unit
from tests.chaos.accidents import Breakpoint, frozen
from tests.chaos.prepared import fleet_with_breakpoints
from tests.chaos.rows import Accident, Row, all_rows, chosen_rows
from tests.chaos.trial import tried
from tests.fleet import Fleet, Workload, eventually
from tests.lab import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def commit() -> str:
    """The commit that is tested; the same for all where there is none."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Fleet, Path]]:
    with fleet_with_breakpoints() as made:
        yield made


@pytest.mark.parametrize("row", chosen_rows(commit()), ids=lambda row: row.name)
def test_an_accident_costs_no_workload(place: tuple[Fleet, Path], row: Row) -> None:
    fleet, directory = place
    trial = tried(fleet, row, directory)
    assert trial.wrong == (), trial


def test_a_worker_that_wakes_up_late_restores_no_second_copy(
    place: tuple[Fleet, Path],
) -> None:
    fleet, directory = place
    workload = Workload(fleet, "zombie")
    stop = Breakpoint(directory, "b", f"{Unit.RESTORE}:restore half")
    try:
        before = workload.start()
        with stop.armed():
            words = ("--to", "b", "--no-preseed", "--fallback", "resume", "--detach")
            asked = fleet.workflow("migrate", workload.name, *words)
            eventually(stop.reached, "the restore is not under way")
            with frozen(fleet, "b", stop):
                resumed = fleet.client.wait(asked.id, timeout_seconds=240)
                assert resumed.outcome is Outcome.RESUMED
                assert before.lives_on_in(workload.counting("a"))
            eventually(lambda: fleet.online("b"), "b wakes up")
            eventually(lambda: workload.absent("b"), "what b has of it is not removed")
        again = fleet.workflow("migrate", workload.name, "--to", "b", "--no-preseed")
        assert again.outcome is Outcome.MOVED, "b's worker works on"
        assert workload.absent("a")
        assert before.lives_on_in(workload.counting("b"))
    finally:
        workload.forget()


def test_a_worker_that_wakes_up_late_does_not_remove_the_only_copy(
    place: tuple[Fleet, Path],
) -> None:
    fleet, directory = place
    trial = tried(fleet, Row(unit=Unit.FINISH, point="remove", accident=Accident.FREEZE), directory)
    assert trial.wrong == (), trial


def test_every_row_has_its_turn() -> None:
    names = {row.name for row in all_rows()}
    assert len(names) == len(all_rows())
    tried_sometime = {row.name for n in range(200) for row in chosen_rows(f"commit {n}")}
    assert tried_sometime == names
