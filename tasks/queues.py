"""Names of tasks and queues, which stay as they are across versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kombu import Exchange, Queue

from tasks.models import Unit

if TYPE_CHECKING:
    from celery import Celery

CONTROL_QUEUE = "control"
FALL_BACK = "podferry.fall_back"
RETENTION = "podferry.retention"
EXCHANGE = Exchange("podferry", type="direct")


def unit_task(unit: Unit) -> str:
    """The task name of a unit."""
    return f"podferry.{unit}"


def host_queue(host: str) -> str:
    """The queue that a host's worker takes its units from."""
    return f"host.{host}"


def queue(name: str) -> Queue:
    """A queue's declaration."""
    return Queue(name, EXCHANGE, routing_key=name)


def declare(app: Celery, hosts: Iterable[str]) -> None:
    """Let the application publish to these hosts' queues; any other name is refused."""
    for host in hosts:
        app.amqp.queues.add(queue(host_queue(host)))
