"""Every order of what happens to a workflow that chance finds, and what holds in all of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from structlog.testing import capture_logs

from tests.unit.tasks.model.machine import Machine
from tests.unit.tasks.model.world import patched

STEPS = 20_000


def test_whatever_happens_one_copy_runs_and_every_workflow_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patched(monkeypatch, lambda: Machine.model)
    Machine.executed = 0
    with capture_logs():
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=500,
                stateful_step_count=60,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert Machine.executed >= STEPS
