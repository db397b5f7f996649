"""The Celery application: its settings, its queues, and the tasks over units and workflows.

Settings follow what Celery with Redis does under failure: acknowledge early, because a lost step is
found through its record and a redelivered one would only be refused; prefetch one; JSON only; no
silent creation of queues, since a misspelt one keeps its messages for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery
from celery.exceptions import Ignore

from tasks.broker import celery_url
from tasks.errors import RefusedLinkError, SupersededError, UnreadableRecordError
from tasks.models import Event, EventType, Unit
from tasks.queues import (
    CONTROL_QUEUE,
    EXCHANGE,
    FALL_BACK,
    RETENTION,
    declare,
    queue,
    unit_task,
)
from tasks.retention import run_retention
from tasks.signing import HEADER
from tasks.step import Result, Step, run_step
from tasks.units import UNITS
from tasks.workflows import fall_back, go_on

if TYPE_CHECKING:
    from celery.app.task import Task

    from tasks.context import Context

RESULT_DAYS = 7
log = structlog.get_logger()


def make_app(redis_url: str, context: Context, own: str = CONTROL_QUEUE) -> Celery:
    """The application of a worker on queue ``own``, whose tasks work in this ``context``.

    Only workers publish: a client changes a record, and a control worker sends what follows.
    """
    app = Celery("podferry", broker=celery_url(redis_url), backend=celery_url(redis_url))
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        result_extended=True,
        result_expires=RESULT_DAYS * 24 * 3600,
        task_acks_late=False,
        task_track_started=True,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_create_missing_queues=False,
        task_default_queue=CONTROL_QUEUE,
        task_default_exchange=EXCHANGE.name,
        task_queues=[queue(CONTROL_QUEUE)],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_enable_remote_control=False,
        broker_transport_options={
            "health_check_interval": 15,
            # keys of its own, so that no other worker need see what it has taken
            "unacked_key": f"{own}:unacked",
            "unacked_index_key": f"{own}:unacked_index",
            "unacked_mutex_key": f"{own}:unacked_mutex",
            "priority_steps": [0],
            **_tcp(redis_url),
        },
        redis_socket_keepalive="socket_keepalive" in _tcp(redis_url),
        redis_socket_timeout=30.0,
        redis_retry_on_timeout=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    _register(app, context)
    return app


def _tcp(redis_url: str) -> dict[str, int]:
    """Options that a connection has only when it is no unix socket."""
    if redis_url.startswith("unix://"):
        return {}
    return {"socket_keepalive": 1, "socket_timeout": 30, "socket_connect_timeout": 5}


def _register(app: Celery, context: Context) -> None:
    for unit, work in UNITS.items():
        run = _unit_task(app, context, unit, work)
        app.task(name=unit_task(unit), bind=True, shared=False)(run)

    def fall_back_task(
        task: Task[Any, Any], /, workflow_id: str, epoch: int, **later: object
    ) -> None:
        _admit(context, task, {"workflow_id": workflow_id, "epoch": epoch, **later})
        fall_back(app, context, workflow_id, epoch)

    def retention_task(task: Task[Any, Any]) -> Result:
        _admit(context, task, {})
        report = run_retention(
            context.archives, context.records, context.retention, grace=context.orphan_grace
        )
        return report.model_dump(mode="json", exclude={"kept"})

    app.task(name=RETENTION, bind=True, shared=False)(retention_task)
    app.task(name=FALL_BACK, bind=True, shared=False)(fall_back_task)


def _admit(
    context: Context, task: Task[Any, Any], arguments: Mapping[str, object]
) -> Mapping[str, object]:
    """Refuse what nobody who may has signed; the headers with which it may be passed on."""
    header = task.request.get(HEADER)
    if context.verifier is not None:
        try:
            context.verifier.check(task.name, arguments, header)
        except RefusedLinkError as error:
            workflow = arguments.get("workflow_id")
            log.error("message refused", workflow=workflow, task=task.name, reason=error.reason)
            raise Ignore(str(error)) from error
    return {} if header is None else {HEADER: header}


def _unit_task(
    app: Celery, context: Context, unit: Unit, work: Callable[[Step], Result]
) -> Callable[..., Result]:
    def run(
        task: Task[Any, Any], workflow_id: str, step: int, epoch: int, **later: object
    ) -> Result:
        about = {"workflow_id": workflow_id, "step": step, "epoch": epoch, **later}
        headers = _admit(context, task, about)

        def shown(done_bytes: int) -> None:
            meta = {"bytes": done_bytes}
            task.update_state(state="PROGRESS", meta=meta)
            # Flower asks no result backend: it shows the result of the last event
            task.send_event("task-progress", result=repr(meta))

        def ready() -> None:
            go_on(app, context, workflow_id, step, epoch, headers)

        try:
            # The next link of the chain goes to a host that this process may never have named.
            declare(app, context.records.get(workflow_id).hosts)
            result = run_step(
                context, workflow_id, step, epoch, work, on_progress=shown, on_ready=ready
            )
        except SupersededError as error:
            raise Ignore(str(error)) from error
        except UnreadableRecordError as error:  # it waits until this worker is upgraded
            told = Event(type=EventType.LOG, unit=unit, message=str(error))
            context.records.log(workflow_id, told)
            raise Ignore(str(error)) from error
        if unit is Unit.CHECKPOINT:
            ready()
        return result

    return run
