from __future__ import annotations

import pytest
from fakeredis import FakeRedis

from tasks.errors import WorkflowNotFoundError, WorkloadBusyError
from tasks.models import Event, EventType, Kind, Outcome, State, Workflow, new_workflow
from tasks.plans import end
from tasks.records import Records


def reopen(workflow: Workflow) -> Workflow:
    return workflow.model_copy(update={"state": State.RUNNING, "outcome": None})


def finished(workflow: Workflow) -> Workflow:
    return end(workflow, Outcome.MOVED)


def test_a_record_is_read_back_as_it_was_written(records: Records) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(workflow)
    assert records.get(workflow.id) == workflow


def test_a_workload_has_one_live_workflow(records: Records) -> None:
    first = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(first)
    with pytest.raises(WorkloadBusyError) as busy:
        records.create(new_workflow(Kind.CHECKPOINT, "web", source="a"))
    assert busy.value.workflow_id == first.id
    records.create(new_workflow(Kind.CHECKPOINT, "db", source="a"))


def test_the_end_frees_the_workload_and_forgets_the_payload(records: Records) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    records.create(workflow, payload=b"secret")
    assert records.payload(workflow.id) == b"secret"
    records.update(workflow.id, finished)
    with pytest.raises(WorkflowNotFoundError):
        records.payload(workflow.id)
    records.create(new_workflow(Kind.UP, "web", target="a"))


def test_a_reopened_workflow_takes_its_workload_again_or_is_refused(records: Records) -> None:
    first = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(first)
    records.update(first.id, finished)
    records.update(first.id, reopen)
    with pytest.raises(WorkloadBusyError):
        records.create(new_workflow(Kind.MIGRATE, "web", source="a", target="b"))
    records.update(first.id, finished)
    records.create(new_workflow(Kind.MIGRATE, "web", source="a", target="b"))
    with pytest.raises(WorkloadBusyError):
        records.update(first.id, reopen)


def test_an_end_never_frees_someone_elses_workload(records: Records, redis: FakeRedis) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(workflow)
    redis.set("podferry:workload:web", "another")
    records.update(workflow.id, finished)
    assert redis.get("podferry:workload:web") == b"another"


def test_a_change_that_was_overtaken_is_made_again(records: Records) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(workflow)
    seen: list[bool] = []

    def change(old: Workflow) -> Workflow:
        seen.append(old.cancel_requested)
        if len(seen) == 1:
            records.update(workflow.id, lambda w: w.model_copy(update={"cancel_requested": True}))
        return old.model_copy(update={"source_stopped": True})

    new = records.update(workflow.id, change)
    assert seen == [False, True]
    assert new.cancel_requested
    assert new.source_stopped


def test_a_change_that_raises_leaves_the_record(records: Records) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(workflow)

    def change(_: Workflow) -> Workflow:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        records.update(workflow.id, change)
    assert records.get(workflow.id) == workflow


def test_an_unknown_workflow_is_named(records: Records) -> None:
    with pytest.raises(WorkflowNotFoundError, match="no workflow 'x'"):
        records.get("x")


def test_the_newest_workflows_come_first(records: Records) -> None:
    made = [new_workflow(Kind.UP, f"web{n}", target="a") for n in range(3)]
    for workflow in made:
        records.create(workflow)
    assert [w.workload for w in records.recent(2)] == ["web2", "web1"]


def test_the_log_is_read_from_any_position(records: Records) -> None:
    for text in ("one", "two", "three"):
        records.log("w", Event(type=EventType.LOG, message=text))
    events = list(records.events("w", wait_seconds=0))
    assert [event.message for _, event in events] == ["one", "two", "three"]
    later = records.events("w", after=events[0][0], wait_seconds=0)
    assert [event.message for _, event in later] == ["two", "three"]
