"""A tenth of the matrix of accidents, another one with each commit; `make chaos` tries it all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.prepared import fleet_with_breakpoints
from tests.chaos.rows import Row, all_rows, chosen_rows
from tests.chaos.trial import tried
from tests.fleet import Fleet
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


def test_every_row_has_its_turn() -> None:
    names = {row.name for row in all_rows()}
    assert len(names) == len(all_rows())
    tried_sometime = {row.name for n in range(200) for row in chosen_rows(f"commit {n}")}
    assert tried_sometime == names
