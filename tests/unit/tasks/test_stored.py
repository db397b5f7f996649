"""Records of other versions: what they added stays, what cannot be read is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.exceptions import Ignore
from fakeredis import FakeRedis
from hypothesis import given
from hypothesis import strategies as st

from runtime import FakeRuntime, RunSpec
from tasks.app import make_app
from tasks.context import Context
from tasks.drains.models import new_drain
from tasks.drains.records import Drains
from tasks.errors import UnreadableRecordError
from tasks.hosts import HostReport, HostState
from tasks.models import Kind, Unit, WorkerInfo, Workflow, new_workflow
from tasks.placing import Placer
from tasks.plans import first_plan, planned
from tasks.queues import unit_task
from tasks.reconcile import reconcile
from tasks.records import Records
from tasks.registry import Registry
from tasks.retention import run_retention
from tasks.stored import asked, asked_json, load
from tests.golden.files import SETS

NEWER = {"version": 2}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
GOLDEN = json.loads((next(SETS.iterdir()) / "redis.json").read_text())
WORKFLOWS = [v for k, v in GOLDEN["string"].items() if k.startswith("podferry:workflow:")]


def put(redis: FakeRedis, workflow: Workflow, **fields: object) -> None:
    """Write a record's fields as a later version would."""
    record = json.loads(workflow.model_dump_json()) | fields
    redis.set(f"podferry:workflow:{workflow.id}", json.dumps(record))


def objects(value: object) -> list[dict[str, Any]]:
    """Every record in a record, itself included; no result, which is free in form."""
    if isinstance(value, list):
        return [found for item in value for found in objects(item)]
    if not isinstance(value, dict):
        return []
    inner = (v for k, v in value.items() if k not in {"result", "labels", "selector"})
    return [value, *(found for item in inner for found in objects(item))]


@given(data=st.data(), added=JSON)
def test_what_a_later_version_added_stays_through_every_change(
    data: st.DataObject, added: object
) -> None:
    record = json.loads(data.draw(st.sampled_from(WORKFLOWS)))
    data.draw(st.sampled_from(objects(record)))["field_of_tomorrow"] = added
    redis = FakeRedis(protocol=2)
    records = Records(redis)
    redis.set(f"podferry:workflow:{record['id']}", json.dumps(record))
    asked_to_end = not record["cancel_requested"]
    records.update(record["id"], lambda w: w.model_copy(update={"cancel_requested": asked_to_end}))
    after = json.loads(redis.get(f"podferry:workflow:{record['id']}") or b"")
    redis.close()
    assert after == record | {"cancel_requested": asked_to_end, "fence": 1}


def test_what_was_asked_for_is_never_passed_over() -> None:
    spec = RunSpec(name="web", image="i")
    assert asked(spec) == {"name": "web", "image": "i"}
    assert load(RunSpec, "web", asked_json(spec)) == spec
    with pytest.raises(UnreadableRecordError, match="runspec web cannot be read: gpus: "):
        load(RunSpec, "web", b'{"name": "web", "image": "i", "gpus": "all"}')


def test_a_later_format_is_named(redis: FakeRedis, records: Records) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    put(redis, workflow, **NEWER)
    with pytest.raises(UnreadableRecordError) as unreadable:
        records.get(workflow.id)
    assert f"workflow {workflow.id} cannot be read: another version" in str(unreadable.value)
    with pytest.raises(UnreadableRecordError):
        records.update(workflow.id, lambda w: w)


def test_what_cannot_be_read_holds_nothing_else_up(redis: FakeRedis, context: Context) -> None:
    records, app = context.records, make_app("memory://", context)
    newer = new_workflow(Kind.UP, "web", target="a")
    own = new_workflow(Kind.UP, "db", target="a")
    records.create(newer)
    records.create(own)
    put(redis, newer, steps=[{"unit": "teleport", "host": "a", "epoch": 1}])
    assert [w.id for w in records.recent()] == [own.id]
    before = redis.get(f"podferry:workflow:{newer.id}")
    reconcile(app, context, Registry(redis), redis)
    app.close()
    assert redis.get(f"podferry:workflow:{newer.id}") == before
    assert newer.id in records.holders(["web"]).values()


def test_a_worker_leaves_alone_what_it_cannot_read_and_says_so(
    redis: FakeRedis, context: Context
) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    workflow = planned(workflow, first_plan(workflow))
    context.records.create(workflow)
    put(redis, workflow, **NEWER)
    app = make_app("memory://", context)
    with pytest.raises(Ignore):
        app.tasks[unit_task(Unit.UP)](workflow_id=workflow.id, step=0, epoch=1)
    app.close()
    [(_, event)] = context.records.events(workflow.id, wait_seconds=0)
    assert "upgrade this one" in event.message


def test_nothing_is_decided_that_it_might_forbid(redis: FakeRedis, context: Context) -> None:
    """Room may be reserved by it, checkpoints may be in use by it: only it knows."""
    newer = new_workflow(Kind.UP, "web", target="a")
    context.records.create(newer)
    put(redis, newer, **NEWER)
    with pytest.raises(UnreadableRecordError):
        Placer(context.records, Registry(redis)).candidates()
    with pytest.raises(UnreadableRecordError):
        run_retention(
            context.archives, context.records, context.retention, grace=context.orphan_grace
        )


def test_a_host_whose_report_cannot_be_read_says_so_and_gets_nothing(redis: FakeRedis) -> None:
    registry = Registry(redis)
    registry.beat(WorkerInfo(id="host.a", host="a", version="2", pid=1))
    report = HostReport(host="a", facts=FakeRuntime().host_facts()).model_dump(mode="json")
    redis.hset("podferry:hosts", "a", json.dumps(report | {"added": 1}))
    assert registry.require_host("a").error == ""
    redis.hset("podferry:hosts", "a", json.dumps(report | {"room": "plenty"}))
    status = registry.require_host("a")
    assert status.state is HostState.ACTIVE
    assert "hostreport a cannot be read: room" in status.error


def test_a_drain_of_a_later_format_keeps_no_other_from_being_driven(redis: FakeRedis) -> None:
    drains = Drains(redis)
    newer, own = new_drain("a"), new_drain("b")
    drains.create(newer)
    drains.create(own)
    redis.set(f"podferry:drain:{newer.id}", json.dumps({"version": 2}))
    assert drains.live() == [own]
    with pytest.raises(UnreadableRecordError):
        drains.get(newer.id)


def test_a_message_may_say_more(context: Context) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    context.records.create(planned(workflow, first_plan(workflow)))
    app = make_app("memory://", context)
    with pytest.raises(Ignore):
        app.tasks[unit_task(Unit.UP)](workflow_id=workflow.id, step=0, epoch=9, hint="later")
    app.close()
