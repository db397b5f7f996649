"""Some of twenty fake hosts are drained at once, by real workers and Redis."""

from __future__ import annotations

import pytest

from tests.soak.simulation import Plan, soak

pytestmark = pytest.mark.integration


def test_every_workload_of_the_drained_hosts_runs_once_elsewhere() -> None:
    found = soak(Plan(hosts=20, workloads=100, drained=2, idle_seconds=2.0))
    # one that came to a host before its drain had cordoned it is moved twice
    assert 10 <= found.moves <= 20
    assert found.commands_per_move > 0
    assert found.all_milliseconds > 0
