from __future__ import annotations

from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from tasks.errors import WorkflowNotFoundError, WorkloadBusyError
from tasks.models import (
    Event,
    EventType,
    GroupKind,
    Kind,
    Outcome,
    State,
    Unit,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import end, planned
from tasks.records import PAGE, Records


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


def ids(found: list[Workflow]) -> list[str]:
    return [workflow.workload for workflow in found]


def test_workflows_are_found_by_what_they_concern(records: Records) -> None:
    moves = {"a": "b", "b": "c", "c": "a"}
    for source, target in moves.items():
        records.create(new_workflow(Kind.MIGRATE, f"web-{source}", source=source, target=target))
    records.create(
        new_workflow(
            Kind.CHECKPOINT,
            "shop",
            group=GroupKind.PROJECT,
            members=("shop-db", "shop-web"),
            source="a",
        )
    )
    assert ids(records.recent(host="a")) == ["shop", "web-c", "web-a"]
    assert ids(records.recent(1, host="a")) == ["shop"]
    assert ids(records.recent(workload="web-a", host="b")) == ["web-a"]
    assert ids(records.recent(workload="web-a", host="c")) == []
    assert ids(records.recent(workload="shop")) == ids(records.recent(workload="shop-db"))
    assert records.recent(workload="shop-cache") == []


def test_workflows_are_found_by_their_state(records: Records) -> None:
    made = [new_workflow(Kind.UP, f"web{n}", target="a") for n in range(3)]
    for workflow in made:
        records.create(workflow)
    records.update(made[0].id, finished)
    records.update(made[1].id, lambda w: planned(w, ((Unit.UP, "a"),)))
    assert ids(records.recent(state=State.ENDED)) == ["web0"]
    assert ids(records.recent(state=State.RUNNING)) == ["web1"]
    assert ids(records.recent(state=State.QUEUED, host="a")) == ["web2"]
    assert records.recent(state=State.QUEUED, host="b") == []
    records.update(made[0].id, reopen)
    assert ids(records.recent(state=State.RUNNING)) == ["web1", "web0"]


def test_a_host_that_a_later_plan_names_is_concerned_too(records: Records) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(workflow)
    elsewhere = ((Unit.RESTORE, "c"), (Unit.FINISH, "a"))
    records.update(workflow.id, lambda w: planned(w, elsewhere).model_copy(update={"target": "c"}))
    assert ids(records.recent(host="c")) == ["web"]


def test_a_filter_reads_on_until_it_has_enough(records: Records) -> None:
    for number in range(2 * PAGE + 1):
        workflow = new_workflow(Kind.UP, f"web{number}", target="a")
        records.create(workflow)
        if number < 2:
            records.update(workflow.id, finished)
    assert ids(records.recent(2, state=State.ENDED)) == ["web1", "web0"]
    assert len(records.recent(500)) == 2 * PAGE + 1


def test_what_is_over_is_kept_for_as_long_as_was_asked(redis: FakeRedis) -> None:
    records = Records(redis, keep=timedelta(hours=3))
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    records.create(workflow)
    records.log(workflow.id, Event(type=EventType.LOG))
    assert {redis.ttl(key) for key in redis.scan_iter()} == {-1}
    records.update(workflow.id, finished)
    hours = {key.decode(): round(redis.ttl(key) / 3600) for key in redis.scan_iter()}
    del hours["podferry:bell"], hours["podferry:placed"], hours["podferry:tallies"]
    assert hours == {
        f"podferry:workflow:{workflow.id}": 3,
        f"podferry:events:{workflow.id}": 3,
        "podferry:workflows": 6,
        "podferry:workflows:workload:web": 6,
        "podferry:workflows:host:a": 6,
        "podferry:workflows:host:b": 6,
    }
    records.update(workflow.id, reopen)
    assert redis.ttl(f"podferry:workflow:{workflow.id}") == -1


def test_lists_lose_what_has_no_record_any_more(redis: FakeRedis) -> None:
    records = Records(redis, keep=timedelta(hours=3))
    old = new_workflow(Kind.UP, "web", target="a").model_copy(
        update={"created": now() - timedelta(hours=7)}
    )
    records.create(old)
    records.update(old.id, finished)
    redis.delete(f"podferry:workflow:{old.id}")
    assert records.recent(workload="web") == []
    young = new_workflow(Kind.UP, "web", target="a")
    records.create(young)
    records.update(young.id, finished)
    lists = ("", ":workload:web", ":host:a")
    assert {redis.zcard(f"podferry:workflows{name}") for name in lists} == {1}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_a_request_that_came_to_nothing_is_kept_for_an_hour(
    records: Records, redis: FakeRedis, outcome: Outcome
) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    records.create(workflow, payload=b"secret")
    records.update(workflow.id, lambda w: end(w, outcome))
    assert records.payload(workflow.id) == b"secret"
    assert 0 < redis.ttl(f"podferry:payload:{workflow.id}") <= 3600


def test_a_record_that_is_there_is_not_begun_anew(records: Records) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    records.create(workflow)
    assert records.rung(wait_seconds=1) == workflow.id
    ended = records.update(workflow.id, lambda w: end(w, Outcome.STARTED))
    assert records.known(workflow.id)
    records.create(workflow)
    assert records.get(workflow.id) == ended
    assert records.live() == []
    assert records.holders(["web"]) == {}
    assert not records.known("up-of-another-id")
