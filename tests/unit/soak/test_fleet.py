"""What the simulated hosts are: each works with its own engine, and states its own steps."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

from fakeredis import FakeRedis

from storage import UNENCRYPTED, ArchiveStore, MemoryObjectStore
from tasks.app import make_app
from tasks.context import Context
from tasks.models import Kind, StepState, Unit, new_workflow
from tasks.plans import first_plan, planned
from tasks.queues import host_queue, unit_task
from tasks.records import Records
from tasks.stating import record_key, statement_key
from tests.soak.fleet import engine, work_on


def test_a_unit_is_the_work_of_the_host_on_whose_queue_it_came() -> None:
    with closing(FakeRedis(protocol=2)) as redis:
        archives = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
        shared = Context(records=Records(redis), archives=archives)
        app = make_app("memory://", shared)
        app.conf.update(result_backend="cache+memory://")
        hosts = {
            host: replace(shared, records=Records(redis, host=host), runtime=engine(host, 1))
            for host in "ab"
        }
        work_on(app, hosts)
        workflow = new_workflow(Kind.MIGRATE, "a-web-0", source="a", target="b")
        workflow = planned(workflow, first_plan(workflow))
        shared.records.create(workflow)
        written = redis.get(record_key(workflow.id))
        about = {"workflow_id": workflow.id, "step": 0, "epoch": workflow.epoch}
        describe = app.tasks[unit_task(Unit.DESCRIBE)]
        describe.apply(kwargs=about, routing_key=host_queue("a"), throw=True)
        app.close()
        assert redis.get(record_key(workflow.id)) == written
        stated = json.loads(redis.get(statement_key("a", workflow.id)) or "{}")
        assert stated["steps"]["0"]["state"] == StepState.DONE
        assert shared.records.get(workflow.id).steps[0].state is StepState.DONE
