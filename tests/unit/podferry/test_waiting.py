from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from podferry.cli.common import clock
from podferry.cli.waiting import waits_for
from tasks.models import StepState, Workflow
from tests.unit.podferry.histories import at, migration, queued, under_way, went_cold


def waits(workflow: Workflow, *online: str) -> str:
    return waits_for(workflow, at(0), lambda: online)


def paused() -> Workflow:
    return migration().model_copy(update={"not_before": at(5)})


def failed() -> Workflow:
    workflow = migration()
    over = workflow.steps[0].model_copy(update={"state": StepState.FAILED, "ended": at(0)})
    return workflow.with_step(0, over)


def silent() -> Workflow:
    workflow = under_way()
    gone = datetime.now(UTC) - timedelta(seconds=1)
    for index in (4, 5):
        held = workflow.steps[index].model_copy(update={"lease_until": gone})
        workflow = workflow.with_step(index, held)
    return workflow


@pytest.mark.parametrize(
    ("workflow", "online", "text"),
    [
        (queued(), (), "waits for a control worker"),
        (migration(), ("b",), "waits for host a, offline"),
        (migration(), ("a", "b"), "waits for its turn on host a"),
        (paused(), (), f"again at {clock(at(5), at(0))}"),
        (under_way(), (), ""),
        (silent(), (), "the worker on host a is silent"),
        (failed(), (), ""),
        (went_cold()[0], (), ""),
    ],
)
def test_what_is_waited_for_is_said(workflow: Workflow, online: tuple[str, ...], text: str) -> None:
    assert waits(workflow, *online) == text


def test_a_pause_that_is_over_is_waited_for_no_more() -> None:
    late = waits_for(paused(), at(6), lambda: ["a"])
    assert late == "waits for its turn on host a"


def test_hosts_are_asked_only_when_it_matters() -> None:
    def never() -> list[str]:
        raise AssertionError("asked")

    for workflow in (queued(), paused(), under_way(), went_cold()[0]):
        waits_for(workflow, at(0), never)


def test_another_day_is_named() -> None:
    assert len(clock(at(0), at(0))) == len("12:00:00")
    assert clock(at(0) + timedelta(days=3), at(0)).startswith("2026-11-2")
