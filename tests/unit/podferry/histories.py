"""Workflows with a history, to look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runtime import HostFacts
from tasks.facts import SourceFacts
from tasks.models import (
    Event,
    EventType,
    Kind,
    Outcome,
    State,
    Step,
    StepError,
    StepState,
    Unit,
    Workflow,
    new_workflow,
)
from tasks.plans import end, first_plan, planned

HOST = HostFacts(
    engine="podman",
    version="5.4.2",
    architecture="amd64",
    kernel="6.12",
    oci_runtime="crun",
    memory_free_bytes=1 << 30,
    disk_free_bytes=1 << 30,
)
SOURCE = SourceFacts(host=HOST, key_id="", members=())
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def did(step: Step, began: float, ended: float | None, *, error: str = "") -> Step:
    """A step that ran from one second to another; without an end it still runs."""
    state = StepState.FAILED if error else StepState.DONE if ended else StepState.RUNNING
    fields = {
        "state": state,
        "started": at(began),
        "ended": at(ended) if ended else None,
        "lease_until": None if ended else datetime.now(UTC) + timedelta(hours=1),
        "error": StepError(type="RestoreFailedError", message=error) if error else None,
    }
    return step.model_copy(update=fields)


def migration() -> Workflow:
    """A migration that began at noon and has its first plan."""
    made = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    begun = planned(made, first_plan(made))
    return begun.model_copy(update={"created": NOON, "planned": NOON})


def under_way() -> Workflow:
    """A migration whose target reads along what its source writes."""
    workflow = migration()
    times = [(0, 1), (1, 2), (2, 3), (3, 4), (4, None), (5, None)]
    for index, (began, ended) in enumerate(times):
        workflow = workflow.with_step(index, did(workflow.steps[index], began, ended))
    for index, result in enumerate((SOURCE.model_dump(mode="json"), {"members": []})):
        told = workflow.steps[index].model_copy(update={"result": result})
        workflow = workflow.with_step(index, told)
    return workflow


def went_cold() -> tuple[Workflow, list[Event]]:
    """A migration of ten seconds whose restore failed, with what its log says of that."""
    workflow = under_way()
    workflow = workflow.with_step(4, did(workflow.steps[4], 4, 6))
    workflow = workflow.with_step(5, did(workflow.steps[5], 5, 7, error="no CRIU"))
    workflow = planned(workflow, ((Unit.UP, "b"), (Unit.FINISH, "a")))
    workflow = workflow.with_step(7, did(workflow.steps[7], 8, 9))
    workflow = workflow.with_step(8, did(workflow.steps[8], 9, 10))
    over = end(workflow, Outcome.COLD, "restore on b: no CRIU").model_copy(update={"ended": at(10)})
    turn = Event(time=at(7.5), type=EventType.FALLBACK, message="next: up on b → finish on a")
    return over, [turn]


def queued() -> Workflow:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    assert workflow.state is State.QUEUED
    return workflow
