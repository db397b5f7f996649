from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, QueueNotFound
from kombu import Connection

from tasks.app import make_app
from tasks.context import Context
from tasks.models import Kind, Unit, new_workflow
from tasks.plans import first_plan, planned
from tasks.queues import CONTROL_QUEUE, FALL_BACK, declare, host_queue, queue, unit_task
from tasks.step import Result, Step
from tasks.units import UNITS
from tasks.workflows import publish

BROKER = "memory://localhost/"


@pytest.fixture
def app(context: Context) -> Iterator[Celery]:
    """An application that publishes into this process's own memory."""
    made = make_app(BROKER, context)
    made.conf.update(result_backend="disabled://")  # results have no such memory
    yield made
    made.close()


def received(app: Celery, name: str) -> Any:  # noqa: ANN401 - a kombu message, untyped
    connection: Connection
    with app.connection_for_read() as connection:
        declared = queue(name)(connection.default_channel)
        declared.declare()
        return declared.get(no_ack=True)


def test_task_names_are_frozen(app: Celery) -> None:
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == {
        *("podferry.fall_back", "podferry.retention"),
        *("podferry.describe", "podferry.preflight", "podferry.push_image", "podferry.pull_image"),
        *("podferry.checkpoint", "podferry.restore", "podferry.finish", "podferry.up"),
        *("podferry.discard", "podferry.resume", "podferry.build", "podferry.preseed"),
        *("podferry.prefetch", "podferry.stop"),
    }


def test_messages_are_json_and_acknowledged_early(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")
    assert app.conf.task_acks_late is False
    assert app.conf.worker_prefetch_multiplier == 1


def test_a_plan_is_sent_as_a_chain_up_to_the_step_that_others_read_along(app: Celery) -> None:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    workflow = planned(workflow, first_plan(workflow))
    publish(app, workflow)
    first = received(app, host_queue("a"))
    assert first.headers["task"] == unit_task(Unit.DESCRIBE)
    _, kwargs, embed = first.payload
    assert kwargs == {"workflow_id": workflow.id, "step": 0, "epoch": 1}
    rest = [(link["task"], link["options"]["queue"]) for link in reversed(embed["chain"])]
    steps = workflow.steps[1:5]
    assert steps[-1].unit is Unit.CHECKPOINT
    assert rest == [(unit_task(step.unit), host_queue(step.host)) for step in steps]
    for link in (*embed["chain"], {"options": {"link_error": embed["errbacks"]}}):
        (failed,) = link["options"]["link_error"]
        assert (failed["task"], failed["options"]["queue"]) == (FALL_BACK, CONTROL_QUEUE)
        assert failed["immutable"]


def test_a_queue_that_nobody_declared_is_refused(app: Celery) -> None:
    with pytest.raises(QueueNotFound):
        app.send_task(FALL_BACK, args=["x"], queue="host.typo")
    declare(app, ["typo"])
    app.send_task(FALL_BACK, args=["x"], queue="host.typo")
    assert received(app, "host.typo").headers["task"] == FALL_BACK


def test_a_superseded_message_ends_quietly(app: Celery, context: Context) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    workflow = planned(workflow, first_plan(workflow))
    context.records.create(workflow)
    with pytest.raises(Ignore):
        app.tasks[unit_task(Unit.UP)](workflow_id=workflow.id, step=0, epoch=9)


def test_progress_is_the_state_of_a_task_and_an_event(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(step: Step) -> Result:
        step.progress(5)
        return {}

    monkeypatch.setitem(UNITS, Unit.UP, work)
    told: list[Any] = []
    made = make_app(BROKER, context)
    task = made.tasks[unit_task(Unit.UP)]
    monkeypatch.setattr(task, "update_state", lambda **fields: told.append(fields))
    monkeypatch.setattr(task, "send_event", lambda kind, **fields: told.append((kind, fields)))
    workflow = new_workflow(Kind.UP, "web", target="a")
    context.records.create(planned(workflow, first_plan(workflow)))
    task(workflow_id=workflow.id, step=0, epoch=1)
    made.close()
    assert told == [
        {"state": "PROGRESS", "meta": {"bytes": 5}},
        ("task-progress", {"result": "{'bytes': 5}"}),
    ]
