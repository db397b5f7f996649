"""A small installation whose every kind of record is written by the code at hand."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from fakeredis import FakeRedis

from runtime import (
    BuildSpec,
    Canary,
    CanaryState,
    HealthCheck,
    Mount,
    NetworkAttachment,
    Port,
    RestartPolicy,
    Room,
    RunSpec,
)
from storage import ArchiveStore, KeyFile, Pins, new_archive_prefix, open_objects
from tasks.actions import CheckpointAction, Cron, DrainAction, Every, RetentionAction
from tasks.app import make_app
from tasks.context import Context
from tasks.evictions import Eviction, Meaning
from tasks.hosts import HostReport
from tasks.models import Fallback, Kind, Need, OnDeadline, Options, Parts, new_workflow, now
from tasks.plans import first_plan, planned
from tasks.queues import host_queue, queue
from tasks.records import Records
from tasks.schedule import Missed, Schedule
from tasks.schedules import Schedules
from tasks.stored import asked_json
from tasks.units.build import BuildRequest
from tasks.workflows import publish
from tests.golden.files import dumped
from tests.unit.storage.chains import store_chain
from tests.unit.storage.samples import NOON, store_checkpoint, store_group
from tests.unit.tasks.drains.test_driving import Fleet

SPEC = RunSpec(
    name="shop",
    image="localhost/shop:1",
    command=("serve", "--port", "80"),
    env={"MODE": "fast"},
    labels={"podferry.priority": "3"},
    mounts=(Mount(type="volume", source="shop-data", target="/data"),),
    ports=(Port(container_port=80, host_port=8080),),
    networks=(NetworkAttachment(name="shop-net", ipv4="10.9.0.7"),),
    restart=RestartPolicy(name="always"),
    health=HealthCheck(command=("CMD", "true")),
)


def write(place: Path) -> None:
    """Write a set of golden files into a new directory."""
    place.mkdir(parents=True)
    keys = KeyFile(place / "keys.json")
    keys.create()
    archives = ArchiveStore(open_objects((place / "store").absolute().as_uri()), keys=keys)
    _checkpoints(archives, place)
    redis = FakeRedis(protocol=2)
    context = Context(records=Records(redis), archives=_forgotten(keys))
    with closing(redis):
        fleet = Fleet(context, redis)
        _hosts(fleet)
        _workflows(fleet)
        _schedules(Schedules(redis))
        _write(place / "redis.json", dumped(redis))
    _write(place / "messages.json", _messages(context))


def _forgotten(keys: KeyFile) -> ArchiveStore:
    """A store that is forgotten: what fake engines write is no checkpoint for anybody else."""
    return ArchiveStore(open_objects("memory://"), keys=keys)


def _checkpoints(archives: ArchiveStore, place: Path) -> None:
    chain = store_chain(archives, 3, workload="db", size=6)
    group = store_group(archives, "shop", "shop-db", "shop-web")
    plain = store_checkpoint(archives, data=b"golden" * 1000)
    Pins(archives.objects).set(plain.id, reason="golden", now=NOON)
    archives.write_image("sha256:" + "b" * 64, ("localhost/shop:1",), [b"image"])
    content = {m.id: _digest(archives, m.id) for m in archives.checkpoints()}
    _write(place / "store.json", {"checkpoints": content, "groups": [group.id]})
    assert chain[-1].id in content


def _digest(archives: ArchiveStore, checkpoint_id: str) -> str:
    whole = hashlib.sha256()
    for chunk in archives.read_checkpoint(archives.manifest(checkpoint_id)):
        whole.update(chunk)
    return whole.hexdigest()


def _hosts(fleet: Fleet) -> None:
    for host, runtime in fleet.hosts.items():
        told = HostReport(
            host=host,
            labels={"zone": host},
            facts=runtime.host_facts(),
            room=Room(memory_bytes=1 << 33, disk_bytes=1 << 36, load=0.5),
        )
        fleet.registry.report_host(told)
        canary = Canary(state=CanaryState.OK, criu_version="4.2", seconds=1.5, taken=NOON)
        fleet.registry.report_canary(host, canary)
        fleet.registry.report_rate(host, 123456789.0)
    fleet.registry.label("c", {"disk": "ssd"})


def _workflows(fleet: Fleet) -> None:
    fleet.start("one", priority="5")
    fleet.start("two", policy="cold")
    fleet.to_the_end(fleet.drain(seconds=3600.0))
    fleet.start("one")
    refused = new_workflow(
        Kind.MIGRATE, "one", source="a", target="b" if "one" in fleet.running("b") else "c"
    )
    fleet.run(refused)
    records = fleet.context.records
    options = Options(
        fallback=(Fallback.ELSEWHERE, Fallback.RESUME),
        on_deadline=OnDeadline.CONTINUE,
        selector={"zone": "b"},
        anywhere=True,
    )
    need = Need(source="a", names=("three",), memory_bytes=1 << 20, labels={"zone": "b"})
    waiting = new_workflow(Kind.MIGRATE, "three", source="a", options=options, need=need)
    records.create(waiting)
    up = new_workflow(Kind.UP, "shop", target="b")
    records.create(up, payload=asked_json(SPEC))
    build = new_workflow(Kind.BUILD, "image shop on b", target="b")
    context = fleet.context.archives.write(new_archive_prefix(f"contexts/{build.id}"), [b"tar"])
    request = BuildRequest(spec=BuildSpec(tag="shop:1", build_args={"A": "1"}), context=context)
    records.create(build, payload=asked_json(request))
    parts = Parts(containers=("one",), ids=("0" * 64,), volumes=("data",))
    for meaning in Meaning:
        left = Eviction(meaning=meaning, workload="one", workflow=refused.id, parts=parts)
        records.evictions.put("c", left)


def _schedules(schedules: Schedules) -> None:
    hourly = Every(every=timedelta(hours=1), since=now())
    sunday = Cron(expression="0 3 * * sun", zone="Europe/Berlin")
    drain = DrainAction(
        host="a", deadline=timedelta(hours=1), bring_back_after=timedelta(hours=2), max_parallel=3
    )
    schedules.add(Schedule(name="s1", action=drain, times=sunday, next=now()))
    action = CheckpointAction(workload="web", host="a")
    jitter = timedelta(minutes=5)
    later = now() + timedelta(hours=1)
    schedules.add(Schedule(name="s2", action=action, times=hourly, next=later, jitter=jitter))
    once = Missed.ONCE
    schedules.add(
        Schedule(name="s3", action=RetentionAction(), times=sunday, next=later, missed=once)
    )
    schedules.take("s1", now())


def _messages(context: Context) -> list[dict[str, object]]:
    """The first message of a plan; the others are in it."""
    app = make_app("memory://", context)
    app.conf.update(result_backend="cache+memory://")
    try:
        workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
        publish(app, planned(workflow, first_plan(workflow)))
        return [_received(app, host_queue("a"))]
    finally:
        app.close()


def _received(app: Celery, name: str) -> dict[str, object]:
    with app.connection_for_read() as connection:
        declared = queue(name)(connection.default_channel)
        declared.declare()
        message: Any = declared.get(no_ack=True)  # a kombu message, untyped
    _, kwargs, embed = message.payload
    return {"queue": name, "task": message.headers["task"], "kwargs": kwargs, "embed": embed}


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
