"""Many fake hosts in one process: their engines, what they tell, and one Celery worker for all.

A worker for each of a thousand hosts does not fit on one machine. Here one consumes the queues of
many hosts, each unit works with what its host has: its engine, and its own statements about
workflows; and one thread tells for all hosts what their workers would tell, as often as they would.
"""

from __future__ import annotations

import heapq
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from celery import Celery
from celery.signals import worker_ready

from runtime import FakeRuntime, RunSpec
from tasks import registry as registry_module
from tasks.app import _unit_task, make_app
from tasks.broker import connect
from tasks.context import Context
from tasks.evicting import Evictor
from tasks.models import WorkerInfo
from tasks.queues import declare, host_queue, unit_task
from tasks.records import Records
from tasks.registry import HEARTBEAT_SECONDS, Registry, host_worker
from tasks.step import Result
from tasks.units import UNITS
from tests.many.hosts import IMAGE
from workers.heartbeat import INVENTORY_SECONDS, ROOM_SECONDS, Heartbeat
from workers.logs import configure_logging
from workers.repeating import Repeating
from workers.settings import Settings, load_settings

if TYPE_CHECKING:
    from celery.app.task import Task

HOSTS = "SOAK_HOSTS"  # environment: names with commas between them
WORKLOADS = "SOAK_WORKLOADS"  # of each host
TOLD = "SOAK_TOLD"  # file that says how much they have told
STRETCH = "SOAK_STRETCH"  # by how much seldomer than a worker a host tells what it holds
THREADS = 8
LOOK_SECONDS = 1.0  # how often it is said how much was told
PAUSE_SECONDS = 0.01
PATIENT_SECONDS = 60  # a host that is late here is no dead one, only a machine that has much to do
K = TypeVar("K")
V = TypeVar("V")


class Listed(dict[K, V]):
    """May be changed by one thread while another goes through it."""

    def values(self) -> list[V]:  # type: ignore[override] # no view
        """Those of this moment."""
        return list(super().values())


@dataclass(frozen=True, kw_only=True)
class Duty:
    """Something that a host's worker does again and again."""

    act: Callable[[], None]
    every_seconds: float


def engine(host: str, workloads: int) -> FakeRuntime:
    """An engine on which so many containers run, each with a volume of its own."""
    runtime = FakeRuntime()
    runtime.containers_by_id = Listed()
    runtime.images[IMAGE.id] = IMAGE
    for number in range(workloads):
        made = runtime.run(RunSpec(name=f"{host}-web-{number}", image=IMAGE.names[0]))
        runtime.start(made)
    return runtime


def work_on(app: Celery, contexts: Mapping[str, Context]) -> None:
    """Have each unit work with what the host has on whose queue its message came."""
    for unit, work in UNITS.items():
        runs = {
            host_queue(host): _unit_task(app, context, unit, work)
            for host, context in contexts.items()
        }
        name = unit_task(unit)
        app.tasks.unregister(name)
        app.task(name=name, bind=True, shared=False)(_placed(runs))


def _placed(runs: Mapping[str, Callable[..., Result]]) -> Callable[..., Result]:
    def run(task: Task[Any, Any], /, **arguments: object) -> Result:
        came = task.request.delivery_info or {}
        return runs[str(came.get("routing_key"))](task, **arguments)

    return run


def telling(
    redis_url: str, engines: dict[str, FakeRuntime], stretch: float, told: Path
) -> Repeating:
    """Tells what each host's worker would; late, if the machine is too slow.

    ``told`` says how many seconds of that are done: who is late does it more slowly, and all of it.
    """
    redis = connect(redis_url)
    duties = [
        duty
        for host, runtime in engines.items()
        for duty in _duties(Registry(redis), Records(redis, host=host), host, runtime, stretch)
    ]
    turn = itertools.count()
    began = time.monotonic()
    due = [
        (began + duty.every_seconds * number / len(duties), next(turn), duty)
        for number, duty in enumerate(duties)
    ]
    heapq.heapify(due)

    def look() -> None:
        limit = time.monotonic() + LOOK_SECONDS
        while due[0][0] <= time.monotonic() < limit:
            when, _, duty = due[0]
            duty.act()
            heapq.heapreplace(due, (when + duty.every_seconds, next(turn), duty))
        told.with_suffix(".new").write_text(str(due[0][0] - began))
        told.with_suffix(".new").replace(told)

    return Repeating("telling", look, every_seconds=PAUSE_SECONDS)


def _duties(
    registry: Registry, records: Records, host: str, runtime: FakeRuntime, stretch: float
) -> Iterator[Duty]:
    info = WorkerInfo(id=host_worker(host), host=host, version="soak", pid=os.getpid())
    evict = Evictor(records, host, runtime).look
    heartbeat = Heartbeat(registry, info, runtime, evict=evict)
    for act, seconds in (
        (heartbeat.beat, HEARTBEAT_SECONDS),
        (heartbeat.report, stretch * INVENTORY_SECONDS),
        (heartbeat.report_host, stretch * ROOM_SECONDS),
    ):
        act()
        yield Duty(act=act, every_seconds=seconds)
    registry.report_canary(host, runtime.canary())


def serve(
    settings: Settings, hosts: Iterable[str], workloads: int, *, stretch: float, told: Path
) -> int:
    """Be these hosts until a signal; return the exit code."""
    registry_module.OFFLINE_SECONDS = PATIENT_SECONDS
    configure_logging("ERROR")
    engines = {host: engine(host, workloads) for host in hosts}
    app = _app(settings, engines)
    tells = telling(settings.redis_url, engines, stretch, told)
    worker_ready.connect(lambda **_: tells.start(), weak=False)
    worker = app.Worker(
        queues=[host_queue(host) for host in engines],
        concurrency=THREADS,
        pool="threads",
        without_mingle=True,
        without_gossip=True,
        loglevel="ERROR",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _app(settings: Settings, engines: Mapping[str, FakeRuntime]) -> Celery:
    """The application of a worker that is that of each of these hosts."""
    redis = connect(settings.redis_url)
    shared = Context(
        records=Records(redis),
        archives=settings.archives(),
        registry=Registry(redis),
        lease_seconds=settings.lease_seconds,
    )
    app = make_app(settings.redis_url, shared)
    app.conf.broker_transport_options["priority_steps"] = [0]  # nothing here has a priority
    declare(app, engines)
    contexts = {
        host: replace(shared, records=Records(redis, host=host), runtime=runtime)
        for host, runtime in engines.items()
    }
    work_on(app, contexts)
    return app


def main() -> int:
    """Read the environment; return the exit code."""
    hosts = os.environ[HOSTS].split(",")
    stretch, told = float(os.environ[STRETCH]), Path(os.environ[TOLD])
    return serve(load_settings(), hosts, int(os.environ[WORKLOADS]), stretch=stretch, told=told)
