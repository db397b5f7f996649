from __future__ import annotations

import pytest

from tasks.errors import InvalidRequestError
from tasks.ladder import End, Next, after_failure, ladder_of, parse_ladder
from tasks.models import (
    Fallback,
    Kind,
    OnDeadline,
    Options,
    Outcome,
    Preseed,
    StepError,
    StepState,
    Unit,
    Workflow,
    new_workflow,
)
from tasks.plans import first_plan, planned

BOTH = ("a", "b")


def migration(*fallback: Fallback, on_deadline: OnDeadline = OnDeadline.ABORT) -> Workflow:
    options = Options(fallback=fallback, on_deadline=on_deadline)
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b", options=options)
    return planned(workflow, first_plan(workflow))


def failed_at(
    workflow: Workflow, unit: Unit, error: str = "RestoreFailedError", **fields: bool | str
) -> Workflow:
    """The workflow with every step before ``unit`` of its newest plan done, and that one failed."""
    steps = list(workflow.steps)
    for index, step in enumerate(steps):
        if step.epoch != workflow.epoch:
            continue
        if step.unit is unit:
            steps[index] = step.failed(StepError(type=error, message="no"))
            break
        steps[index] = step.model_copy(update={"state": StepState.DONE})
    return workflow.model_copy(update={"steps": tuple(steps), **fields})


def units(step: Next | End) -> list[tuple[str, str]]:
    assert isinstance(step, Next), step
    return [(unit.value, host) for unit, host in step.steps]


@pytest.mark.parametrize("preseed", [Preseed.AUTO, Preseed.ON])
def test_what_is_sent_ahead_may_fail_and_nothing_was_touched(preseed: Preseed) -> None:
    options = Options(preseed=preseed)
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b", options=options)
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
    workflow = failed_at(migration(), Unit.RESTORE, source_stopped=True, touched="b")
    assert units(after_failure(workflow, online=BOTH)) == [("up", "b"), ("finish", "a")]


def test_fallback_resume_empties_the_target_and_goes_back() -> None:
    workflow = failed_at(migration(Fallback.RESUME), Unit.RESTORE, source_stopped=True, touched="b")
    assert units(after_failure(workflow, online=BOTH)) == [("discard", "b"), ("resume", "a")]


def test_an_untouched_target_needs_no_emptying() -> None:
    workflow = failed_at(migration(Fallback.RESUME), Unit.RESTORE, source_stopped=True)
    assert units(after_failure(workflow, online=BOTH)) == [("resume", "a")]


def test_a_failed_cold_start_goes_back_to_the_source() -> None:
    workflow = failed_at(migration(), Unit.RESTORE, source_stopped=True, touched="b")
    cold = failed_at(planned(workflow, ((Unit.UP, "b"), (Unit.FINISH, "a"))), Unit.UP)
    assert units(after_failure(cold, online=BOTH)) == [
        ("discard", "b"),
        ("resume", "a"),
    ]


@pytest.mark.parametrize("unit", [Unit.DISCARD, Unit.RESUME])
def test_when_nothing_is_left_to_try_the_next_command_is_said(unit: Unit) -> None:
    workflow = failed_at(migration(Fallback.RESUME), Unit.RESTORE, source_stopped=True, touched="b")
    back = planned(workflow, ((Unit.DISCARD, "b"), (Unit.RESUME, "a")))
    step = after_failure(failed_at(back, unit))
    assert isinstance(step, End)
    assert step.outcome is Outcome.FAILED
    assert step.next_command == f"podferry resume {workflow.id}"
    assert "the memory is kept on a" in step.reason


def test_nothing_rolls_back_past_the_commit_point() -> None:
    workflow = failed_at(migration(), Unit.FINISH, source_stopped=True, touched="b")
    step = after_failure(workflow)
    assert isinstance(step, End)
    assert step.outcome is Outcome.MOVED
    assert "was not removed" in step.reason


def test_a_cancel_goes_back_instead_of_starting_cold() -> None:
    workflow = failed_at(
        migration(), Unit.RESTORE, source_stopped=True, touched="b", cancel_requested=True
    )
    assert units(after_failure(workflow, online=BOTH)) == [("discard", "b"), ("resume", "a")]


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


def test_another_host_that_lives_is_tried_before_the_memory_is_given_up() -> None:
    workflow = failed_at(migration(), Unit.RESTORE, source_stopped=True, touched="b")
    step = after_failure(workflow, online=("a", "b", "c", "d"))
    assert units(step) == [
        *(("discard", "b"), ("preflight", "c"), ("push_image", "a"), ("pull_image", "c")),
        *(("restore", "c"), ("finish", "a")),
    ]
    assert isinstance(step, Next)
    assert step.target == "c"
    elsewhere = planned(workflow, step.steps).model_copy(update={"target": "c", "touched": None})
    refused = failed_at(elsewhere, Unit.PREFLIGHT, "NotMovableError")
    assert ("restore", "d") in units(after_failure(refused, online=("a", "b", "c", "d")))
    last = after_failure(refused, online=BOTH)
    assert units(last) == [("up", "b"), ("finish", "a")]
    assert isinstance(last, Next)
    assert last.target == "b"


def test_a_chosen_target_that_refuses_is_followed_by_the_next_one_before_the_stop() -> None:
    anywhere = migration().model_copy(update={"options": Options(anywhere=True)})
    refused = failed_at(anywhere, Unit.PREFLIGHT, "NotMovableError")
    live = ("a", "b", "d")
    step = after_failure(refused, online=live, fitting=("b", "d"))
    assert isinstance(step, Next)
    assert (step.target, step.steps[:2]) == ("d", ((Unit.DESCRIBE, "a"), (Unit.PREFLIGHT, "d")))
    for workflow, fitting in (
        (refused, ("b",)),
        (failed_at(anywhere, Unit.DESCRIBE, "NotMovableError"), ("d",)),
        (failed_at(anywhere, Unit.PREFLIGHT, "DeadlineError"), ("d",)),
        (failed_at(migration(), Unit.PREFLIGHT, "NotMovableError"), ("d",)),
    ):
        ended = after_failure(workflow, online=live, fitting=fitting)
        assert isinstance(ended, End)
        assert ended.outcome is Outcome.UNTOUCHED


def test_a_target_that_died_without_the_permit_is_not_waited_for() -> None:
    workflow = failed_at(
        migration(), Unit.RESTORE, "HostOfflineError", source_stopped=True, touched="b"
    )
    assert units(after_failure(workflow, online=("a", "c")))[0] == ("preflight", "c")
    assert units(after_failure(workflow, online=("a",))) == [("resume", "a")]
    going_back = workflow.model_copy(update={"cancel_requested": True})
    assert units(after_failure(going_back, online=("a",))) == [("resume", "a")]
    permitted = going_back.model_copy(update={"permit": "b"})
    assert units(after_failure(permitted, online=("a",))) == [("discard", "b"), ("resume", "a")]


@pytest.mark.parametrize("unit", [Unit.PREFLIGHT, Unit.RESTORE, Unit.FINISH, Unit.RESUME])
def test_a_passing_reason_is_tried_again_with_what_follows(unit: Unit) -> None:
    workflow = migration()
    if unit is Unit.RESUME:
        workflow = planned(workflow, ((Unit.RESUME, "a"),))
    expected = [(s.unit.value, s.host) for s in workflow.steps if s.epoch == workflow.epoch]
    expected = expected[[name for name, _ in expected].index(unit.value) :]
    for tries in (1, 2):
        workflow = failed_at(workflow, unit, "LeaseLostError", source_stopped=True)
        step = after_failure(workflow, online=BOTH)
        assert units(step) == expected
        assert isinstance(step, Next)
        assert step.tries == tries
        workflow = planned(workflow, step.steps)
    workflow = failed_at(workflow, unit, "LeaseLostError")
    last = after_failure(workflow, online=BOTH)
    assert not isinstance(last, Next) or last.tries == 0


def test_a_checkpoint_that_stopped_half_way_is_not_tried_again_but_undone() -> None:
    workflow = failed_at(migration(), Unit.CHECKPOINT, "LeaseLostError", source_stopped=True)
    assert units(after_failure(workflow, online=BOTH)) == [("resume", "a")]


@pytest.mark.parametrize(
    ("on_deadline", "expected"),
    [
        (OnDeadline.ABORT, [("discard", "b"), ("resume", "a")]),
        (OnDeadline.COLD, [("up", "b"), ("finish", "a")]),
    ],
)
def test_past_the_deadline_nothing_but_what_was_asked_is_tried(
    on_deadline: OnDeadline, expected: list[tuple[str, str]]
) -> None:
    workflow = migration(on_deadline=on_deadline)
    workflow = failed_at(workflow, Unit.RESTORE, "DeadlineError", source_stopped=True, touched="b")
    assert units(after_failure(workflow, online=("a", "b", "c"))) == expected


def test_the_request_comes_before_the_label_and_that_before_the_settings() -> None:
    default = (Fallback.COLD, Fallback.RESUME)
    assert ladder_of(migration(Fallback.RESUME), default) == (Fallback.RESUME,)
    workflow = failed_at(migration(), Unit.RESTORE)
    assert ladder_of(workflow, default) == default
    label = workflow.steps[0].model_copy(update={"result": {"fallback": ["elsewhere", "resume"]}})
    labelled = workflow.with_step(0, label)
    assert ladder_of(labelled, default) == (Fallback.ELSEWHERE, Fallback.RESUME)


def test_a_ladder_is_read_and_ends_with_the_way_back() -> None:
    assert parse_ladder("cold") == (Fallback.COLD, Fallback.RESUME)
    assert parse_ladder("elsewhere, resume") == (Fallback.ELSEWHERE, Fallback.RESUME)


@pytest.mark.parametrize("text", ["", "warm", "resume,cold", "cold,cold"])
def test_a_ladder_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="fallback"):
        parse_ladder(text)


def described_as(policy: str, workflow: Workflow) -> Workflow:
    told = workflow.steps[0].model_copy(update={"result": {"policy": policy}})
    return workflow.with_step(0, told)


def test_what_stays_live_is_not_started_cold_however_late() -> None:
    workflow = migration(on_deadline=OnDeadline.COLD)
    workflow = failed_at(workflow, Unit.RESTORE, "DeadlineError", source_stopped=True)
    assert units(after_failure(workflow, online=BOTH))[0] == ("up", "b")
    assert units(after_failure(described_as("live", workflow), online=BOTH)) == [("resume", "a")]


def test_what_stays_live_has_a_ladder_without_the_cold_rung() -> None:
    workflow = described_as("live", failed_at(migration(), Unit.RESTORE))
    assert ladder_of(workflow) == (Fallback.ELSEWHERE, Fallback.RESUME)
    asked = described_as("live", failed_at(migration(Fallback.COLD, Fallback.RESUME), Unit.RESTORE))
    assert ladder_of(asked) == (Fallback.RESUME,)


def test_a_cold_heal_tries_other_hosts_cold() -> None:
    options = Options(heal=True, cold=True)
    workflow = new_workflow(Kind.RESTORE, "web", source="a", target="b", options=options)
    workflow = planned(workflow, first_plan(workflow))
    failed = failed_at(workflow, Unit.UP, "EngineError", touched="b")
    assert units(after_failure(failed, online=("b", "c"))) == [
        *(("discard", "b"), ("pull_image", "c"), ("up", "c")),
    ]
