from __future__ import annotations

import pytest

from tasks.models import Kind, Options, Outcome, Preseed, StepState, Unit, new_workflow
from tasks.plans import first_plan, outcome_of, planned
from tests.unit.tasks.test_ladder import failed_at, migration


def test_a_migration_looks_first_and_removes_the_source_last() -> None:
    names = [(unit.value, host) for unit, host in first_plan(migration())]
    assert names == [
        ("describe", "a"),
        ("preflight", "b"),
        ("push_image", "a"),
        ("pull_image", "b"),
        ("checkpoint", "a"),
        ("restore", "b"),
        ("finish", "a"),
    ]


@pytest.mark.parametrize("preseed", [Preseed.AUTO, Preseed.ON])
def test_what_is_sent_ahead_goes_before_the_checkpoint(preseed: Preseed) -> None:
    options = Options(preseed=preseed)
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b", options=options)
    names = [(unit.value, host) for unit, host in first_plan(workflow)]
    assert names[4:7] == [("preseed", "a"), ("prefetch", "b"), ("checkpoint", "a")]


def test_the_outcome_tells_whether_memory_survived() -> None:
    workflow = failed_at(migration(), Unit.CHECKPOINT, source_stopped=True)
    back = planned(workflow, ((Unit.RESUME, "a"),))
    for kept, outcome in ((True, Outcome.RESUMED), (False, Outcome.COLD)):
        last = back.steps[-1].model_copy(
            update={"state": StepState.DONE, "result": {"memory_kept": kept}}
        )
        assert outcome_of(back.model_copy(update={"steps": (*back.steps[:-1], last)})) is outcome
