from __future__ import annotations

import pytest

from tasks.models import (
    Fallback,
    Kind,
    Options,
    Outcome,
    Preseed,
    StepError,
    StepState,
    Unit,
    Workflow,
    new_workflow,
)
from tasks.plans import End, Next, after_failure, first_plan, outcome_of, planned


def migration(fallback: Fallback = Fallback.COLD) -> Workflow:
    workflow = new_workflow(
        Kind.MIGRATE, "web", source="a", target="b", options=Options(fallback=fallback)
    )
    return planned(workflow, first_plan(workflow))


def failed_at(workflow: Workflow, unit: Unit, **fields: bool) -> Workflow:
    """The workflow with every step before ``unit`` of its newest plan done, and that one failed."""
    steps = list(workflow.steps)
    for index, step in enumerate(steps):
        if step.epoch != workflow.epoch:
            continue
        if step.unit is unit:
            error = StepError(type="EngineError", message="no")
            steps[index] = step.model_copy(update={"state": StepState.FAILED, "error": error})
            break
        steps[index] = step.model_copy(update={"state": StepState.DONE})
    return workflow.model_copy(update={"steps": tuple(steps), **fields})


def units(step: Next | End) -> list[tuple[str, str]]:
    assert isinstance(step, Next), step
    return [(unit.value, host) for unit, host in step.steps]


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
    workflow = planned(workflow, first_plan(workflow))
    for unit in (Unit.PRESEED, Unit.PREFETCH):
        ended = after_failure(failed_at(workflow, unit))
        assert isinstance(ended, End)
        assert ended.outcome is Outcome.UNTOUCHED


@pytest.mark.parametrize("unit", [Unit.DESCRIBE, Unit.PREFLIGHT, Unit.PUSH_IMAGE, Unit.PULL_IMAGE])
def test_a_failure_before_the_stop_leaves_the_source_running(unit: Unit) -> None:
    step = after_failure(failed_at(migration(), unit))
    assert isinstance(step, End)
    assert step.outcome is Outcome.UNTOUCHED
    assert step.next_command == "podferry migrate web --to b"
    assert step.reason.startswith(f"{unit.value} on ")


def test_without_an_archive_nothing_but_the_source_has_the_volumes_so_it_resumes() -> None:
    step = after_failure(failed_at(migration(), Unit.CHECKPOINT, source_stopped=True))
    assert units(step) == [("resume", "a")]


def test_a_failed_restore_is_followed_by_a_cold_start_on_the_target() -> None:
    workflow = failed_at(migration(), Unit.RESTORE, source_stopped=True, target_touched=True)
    assert units(after_failure(workflow)) == [("up", "b"), ("finish", "a")]


def test_fallback_resume_empties_the_target_and_goes_back() -> None:
    workflow = failed_at(
        migration(Fallback.RESUME), Unit.RESTORE, source_stopped=True, target_touched=True
    )
    assert units(after_failure(workflow)) == [("discard", "b"), ("resume", "a")]


def test_an_untouched_target_needs_no_emptying() -> None:
    workflow = failed_at(migration(Fallback.RESUME), Unit.RESTORE, source_stopped=True)
    assert units(after_failure(workflow)) == [("resume", "a")]


def test_a_failed_cold_start_goes_back_to_the_source() -> None:
    workflow = failed_at(migration(), Unit.RESTORE, source_stopped=True, target_touched=True)
    cold = planned(workflow, ((Unit.UP, "b"), (Unit.FINISH, "a")))
    assert units(after_failure(failed_at(cold, Unit.UP))) == [("discard", "b"), ("resume", "a")]


@pytest.mark.parametrize("unit", [Unit.DISCARD, Unit.RESUME])
def test_when_nothing_is_left_to_try_the_next_command_is_said(unit: Unit) -> None:
    workflow = failed_at(
        migration(Fallback.RESUME), Unit.RESTORE, source_stopped=True, target_touched=True
    )
    back = planned(workflow, ((Unit.DISCARD, "b"), (Unit.RESUME, "a")))
    step = after_failure(failed_at(back, unit))
    assert isinstance(step, End)
    assert step.outcome is Outcome.FAILED
    assert step.next_command == f"podferry resume {workflow.id}"
    assert "the memory is kept on a" in step.reason


def test_nothing_rolls_back_past_the_commit_point() -> None:
    workflow = failed_at(migration(), Unit.FINISH, source_stopped=True, target_touched=True)
    step = after_failure(workflow)
    assert isinstance(step, End)
    assert step.outcome is Outcome.MOVED
    assert "was not removed" in step.reason


def test_a_cancel_goes_back_instead_of_starting_cold() -> None:
    workflow = failed_at(
        migration(), Unit.RESTORE, source_stopped=True, target_touched=True, cancel_requested=True
    )
    assert units(after_failure(workflow)) == [("discard", "b"), ("resume", "a")]


def test_a_cancel_before_the_stop_is_a_cancel() -> None:
    workflow = failed_at(migration(), Unit.PREFLIGHT, cancel_requested=True)
    step = after_failure(workflow)
    assert isinstance(step, End)
    assert step.outcome is Outcome.CANCELLED


def test_an_interrupted_checkpoint_resumes_its_container() -> None:
    workflow = new_workflow(Kind.CHECKPOINT, "web", source="a")
    workflow = planned(workflow, first_plan(workflow))
    failed = failed_at(workflow, Unit.CHECKPOINT, source_stopped=True)
    assert units(after_failure(failed)) == [("resume", "a")]


def test_the_outcome_tells_whether_memory_survived() -> None:
    workflow = failed_at(migration(), Unit.CHECKPOINT, source_stopped=True)
    back = planned(workflow, ((Unit.RESUME, "a"),))
    for kept, outcome in ((True, Outcome.RESUMED), (False, Outcome.COLD)):
        last = back.steps[-1].model_copy(
            update={"state": StepState.DONE, "result": {"memory_kept": kept}}
        )
        assert outcome_of(back.model_copy(update={"steps": (*back.steps[:-1], last)})) is outcome
