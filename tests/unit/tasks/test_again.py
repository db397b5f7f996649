from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.again import asked_target, command_of, renewed, request_gone, require_retryable
from tasks.errors import InvalidRequestError
from tasks.locate import Place
from tasks.models import (
    GroupKind,
    Kind,
    Options,
    Outcome,
    StepState,
    Unit,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import end, first_plan, planned


def ended(outcome: Outcome, kind: Kind = Kind.MIGRATE, *, stopped: bool = False) -> Workflow:
    workflow = new_workflow(
        kind,
        "web",
        source="a",
        target="b",
        options=Options(retries=7),
        deadline_seconds=120,
        checkpoint_id="web/20260101T000000Z-000000",
    ).model_copy(update={"source_stopped": stopped})
    return end(planned(workflow, first_plan(workflow)), outcome)


@pytest.mark.parametrize(
    "workflow",
    [
        ended(Outcome.UNTOUCHED),
        ended(Outcome.FAILED),
        ended(Outcome.CANCELLED),
        ended(Outcome.COLD, stopped=True),
        ended(Outcome.RESUMED, stopped=True),
        ended(Outcome.RESUMED, Kind.CHECKPOINT, stopped=True),
        ended(Outcome.FAILED, Kind.UP),
        ended(Outcome.CANCELLED, Kind.BUILD),
    ],
)
def test_what_did_not_end_as_asked_may_be_asked_again(workflow: Workflow) -> None:
    require_retryable(workflow)


@pytest.mark.parametrize(
    ("workflow", "advice"),
    [
        (new_workflow(Kind.UP, "web", target="a"), "podferry watch up-"),
        (ended(Outcome.FAILED, stopped=True), "podferry resume migrate-"),
        (ended(Outcome.MOVED), "podferry migrate web --to b"),
        (ended(Outcome.CHECKED, Kind.PREFLIGHT), "podferry preflight web --to b"),
        (ended(Outcome.CHECKPOINTED, Kind.CHECKPOINT), "podferry checkpoint web"),
        (
            ended(Outcome.RESTORED, Kind.RESTORE),
            "podferry restore web/20260101T000000Z-000000 --to b",
        ),
        (ended(Outcome.BUILT, Kind.BUILD), "podferry build CONTEXT --tag TAG --host b"),
        (ended(Outcome.STARTED, Kind.UP), "podferry up IMAGE --name web --host b"),
    ],
)
def test_a_refusal_names_the_next_step(workflow: Workflow, advice: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        require_retryable(workflow)
    assert workflow.id in str(refused.value)
    assert advice in str(refused.value)


def test_a_build_that_has_begun_has_no_context_any_more() -> None:
    workflow = ended(Outcome.FAILED, Kind.BUILD)
    begun = workflow.steps[0].model_copy(update={"started": now(), "state": StepState.FAILED})
    with pytest.raises(InvalidRequestError, match=r"context .* was removed"):
        require_retryable(workflow.with_step(0, begun))


def test_a_request_that_is_gone_is_typed_anew() -> None:
    assert "podferry up IMAGE" in str(request_gone(ended(Outcome.FAILED, Kind.UP)))


def test_the_target_is_the_one_that_was_asked_for() -> None:
    workflow = ended(Outcome.COLD)
    elsewhere = planned(workflow, ((Unit.PREFLIGHT, "c"), (Unit.RESTORE, "c")))
    assert asked_target(elsewhere.model_copy(update={"target": "c"})) == "b"
    assert command_of(elsewhere.model_copy(update={"target": "c"})).endswith("--to b")
    unplanned = new_workflow(Kind.MIGRATE, "web", source="a", target="d")
    assert asked_target(unplanned) == "d"


def test_a_new_record_asks_for_the_same_from_where_the_workload_is() -> None:
    old = ended(Outcome.RESUMED)
    place = Place(host="c", name="web", group=GroupKind.PROJECT, members=("x", "y"))
    new = renewed(old, place)
    assert (new.kind, new.workload, new.source, new.target) == (old.kind, "web", "c", "b")
    assert (new.group, new.members, new.options) == (GroupKind.PROJECT, ("x", "y"), old.options)
    assert new.id != old.id
    assert new.checkpoint_id.startswith("web/")
    assert new.checkpoint_id != old.checkpoint_id
    assert new.deadline - new.created == timedelta(seconds=120)
    assert (new.steps, new.outcome, new.epoch) == ((), None, 0)


def test_a_heal_is_asked_for_by_host_once_that_is_off() -> None:
    heal = new_workflow(Kind.RESTORE, "web", source="a", target="b", options=Options(heal=True))
    with pytest.raises(InvalidRequestError, match="podferry heal a"):
        require_retryable(end(heal, Outcome.FAILED))
