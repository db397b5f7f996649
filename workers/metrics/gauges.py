"""How the fleet is now, read from Redis whenever somebody asks: one function for each part of it.

Labels are names of hosts, queues and members of enums; never a workflow or a workload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from runtime import CanaryState
from tasks.drains.models import Drain, ItemState
from tasks.hosts import HostState, HostStatus
from tasks.models import State, StepState, WorkerInfo, Workflow, now
from tasks.queues import CONTROL_QUEUE, host_queue
from workers.metrics.stored import StoreReport, read_report

if TYPE_CHECKING:
    from redis import Redis

    from tasks.drains.records import Drains
    from tasks.records import Records
    from tasks.registry import Registry

PREFIX = "podferry_"
Sample = tuple[tuple[str, ...], float | None]


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Where all of it stands."""

    redis: Redis
    records: Records
    drains: Drains
    registry: Registry


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One metric: how to read it from what was found; a value that is None is not known."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    read: Callable[[Found], Iterable[Sample]]

    def family(self, found: Found) -> GaugeMetricFamily:
        """Its samples."""
        made = GaugeMetricFamily(PREFIX + self.name, self.help, labels=self.labels)
        for labels, value in self.read(found):
            if value is not None:
                made.add_metric(labels, value)
        return made


@dataclass(frozen=True, kw_only=True)
class Found:
    """The fleet at a moment."""

    moment: datetime
    workers: list[WorkerInfo]  # those that live
    hosts: list[HostStatus]
    workflows: list[Workflow]  # those that have not ended
    drains: list[Drain]  # likewise
    queues: dict[str, int]  # messages that wait
    store: StoreReport | None

    @classmethod
    def look(cls, fleet: Fleet) -> Found:
        """Read all of it. Raises RedisError."""
        hosts = fleet.registry.hosts()
        names = [CONTROL_QUEUE, *(host_queue(status.host) for status in hosts)]
        with fleet.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.llen(name)
            lengths = pipe.execute()
        return cls(
            moment=now(),
            workers=[info for info, lives in fleet.registry.workers().values() if lives],
            hosts=hosts,
            workflows=fleet.records.live(known_only=True),
            drains=fleet.drains.live(),
            queues=dict(zip(names, lengths, strict=True)),
            store=read_report(fleet.redis),
        )


def _workers(found: Found) -> Iterator[Sample]:
    yield ("control",), sum(info.control for info in found.workers)
    yield ("host",), sum(info.host is not None for info in found.workers)


def _versions(found: Found) -> Iterator[Sample]:
    for version, count in Counter(info.version for info in found.workers).items():
        yield (version,), count


def _host_states(found: Found) -> Iterator[Sample]:
    for status in found.hosts:
        for state in HostState:
            yield (status.host, state), status.state is state


def _of_hosts(
    read: Callable[[HostStatus], float | None], *, online: bool = True
) -> Callable[[Found], Iterator[Sample]]:
    """A value of each host, by default of those alone that tell something of themselves."""

    def samples(found: Found) -> Iterator[Sample]:
        for status in found.hosts:
            if status.online or not online:
                yield (status.host,), read(status)

    return samples


def _criu(status: HostStatus) -> float | None:
    known = status.canary.state is not CanaryState.NOT_RUN
    return status.canary.state is CanaryState.OK if known else None


def _workflows(found: Found) -> Iterator[Sample]:
    return _counted((w.kind, _state(w)) for w in found.workflows)


def _state(workflow: Workflow) -> str:
    parked = workflow.state is State.QUEUED and workflow.not_before is not None
    return "parked" if parked else workflow.state


def _steps(found: Found) -> Iterator[Sample]:
    steps = (step for workflow in found.workflows for step in workflow.steps)
    return _counted((s.unit, s.host) for s in steps if s.state is StepState.RUNNING)


def _drain_items(found: Found) -> Iterator[Sample]:
    return _counted((drain.host, item.state) for drain in found.drains for item in drain.items)


def _counted(labels: Iterable[tuple[str, ...]]) -> Iterator[Sample]:
    yield from Counter(labels).items()


def _deadlines(found: Found) -> Iterator[Sample]:
    for drain in found.drains:
        if drain.deadline is not None:
            yield (drain.host,), drain.deadline.timestamp()


def _expected_ends(found: Found) -> Iterator[Sample]:
    for drain in found.drains:
        if drain.deadline is not None:  # without one its plan is not timed anew
            yield (drain.host,), _expected_end(drain, found.moment).timestamp()


def _expected_end(drain: Drain, moment: datetime) -> datetime:
    """When the last of it will have left, as its control worker has timed it a moment ago."""
    waiting = [moment + timedelta(seconds=i.ends_after) for i in drain.items if i.waiting]
    begun = [
        item.began + timedelta(seconds=item.seconds)
        for item in drain.items
        if item.state is ItemState.BEGUN and item.began
    ]
    return max([moment, *waiting, *begun])


def _of_store(read: Callable[[StoreReport], Iterable[Sample]]) -> Callable[[Found], list[Sample]]:
    return lambda found: list(read(found.store)) if found.store else []


GAUGES = (
    Gauge(
        name="workers_online",
        help="Workers that give signs of life.",
        labels=("role",),
        read=_workers,
    ),
    Gauge(
        name="workers_version",
        help="Workers that give signs of life, by Podferry's version.",
        labels=("version",),
        read=_versions,
    ),
    Gauge(
        name="host_state",
        help="1 for the state that a host is in, 0 for the others.",
        labels=("host", "state"),
        read=_host_states,
    ),
    Gauge(
        name="host_left",
        help="1 when a host's worker was told to stop, and said farewell.",
        labels=("host",),
        read=_of_hosts(lambda status: status.left, online=False),
    ),
    Gauge(
        name="host_seen_timestamp_seconds",
        help="When a host's worker gave its last sign of life.",
        labels=("host",),
        read=_of_hosts(lambda status: status.seen.timestamp(), online=False),
    ),
    Gauge(
        name="host_engine_up",
        help="Whether a host's container engine answers.",
        labels=("host",),
        read=_of_hosts(lambda status: not status.error),
    ),
    Gauge(
        name="host_criu_works",
        help="Whether the last proof that CRIU works on a host succeeded.",
        labels=("host",),
        read=_of_hosts(_criu),
    ),
    Gauge(
        name="host_containers",
        help="Containers on a host, running or not.",
        labels=("host",),
        read=_of_hosts(lambda status: status.containers),
    ),
    Gauge(
        name="host_memory_free_bytes",
        help="Memory that programs may still take on a host.",
        labels=("host",),
        read=_of_hosts(lambda status: status.memory_free_bytes),
    ),
    Gauge(
        name="host_disk_free_bytes",
        help="Room where a host's engine keeps images and containers.",
        labels=("host",),
        read=_of_hosts(lambda status: status.disk_free_bytes),
    ),
    Gauge(
        name="host_send_bytes_per_second",
        help="How fast a host last sent a checkpoint, in bytes before compression.",
        labels=("host",),
        read=_of_hosts(lambda status: status.rate),
    ),
    Gauge(
        name="workflows_live",
        help="Workflows that have not ended; parked ones wait until a host fits.",
        labels=("kind", "state"),
        read=_workflows,
    ),
    Gauge(
        name="steps_running",
        help="Steps that workers have taken.",
        labels=("unit", "host"),
        read=_steps,
    ),
    Gauge(
        name="queue_messages",
        help="Messages that wait in a queue.",
        labels=("queue",),
        read=lambda found: [((name,), length) for name, length in found.queues.items()],
    ),
    Gauge(
        name="drain_workloads",
        help="Workloads of a host's drain that has not ended.",
        labels=("host", "state"),
        read=_drain_items,
    ),
    Gauge(
        name="drain_deadline_timestamp_seconds",
        help="When a host has to be empty.",
        labels=("host",),
        read=_deadlines,
    ),
    Gauge(
        name="drain_expected_end_timestamp_seconds",
        help="When a host with a deadline is expected to be empty.",
        labels=("host",),
        read=_expected_ends,
    ),
    Gauge(
        name="store_up",
        help="Whether the archive store could be written and read a minute ago.",
        read=_of_store(lambda store: [((), not store.error)]),
    ),
    Gauge(
        name="store_seen_timestamp_seconds",
        help="When a control worker last tried the store.",
        read=_of_store(lambda store: [((), store.taken.timestamp())]),
    ),
    Gauge(
        name="store_bytes",
        help="Bytes in the store, listed every ten minutes.",
        labels=("kind",),
        read=_of_store(lambda store: [((kind,), size) for kind, size in store.bytes.items()]),
    ),
)
