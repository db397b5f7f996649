"""A small fleet with one container: its hosts, its workers, its messages, and what may go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery.exceptions import Ignore
from fakeredis import FakeRedis, FakeServer
from redis.exceptions import ConnectionError as RedisConnectionError

from runtime import ContainerState, FakeRuntime
from runtime.fake_state import FakeContainer
from storage import UNENCRYPTED, MemoryObjectStore
from tasks import control
from tasks.app import _unit_task
from tasks.context import Context
from tasks.errors import InvalidRequestError
from tasks.models import Kind, Options, State, Unit, Workflow, new_workflow
from tasks.reconcile import answer, reconcile
from tasks.records import BELL, LIVE
from tasks.step import Step
from tasks.units import UNITS
from tasks.workflows import fall_back
from tests.unit.tasks.model.actors import Actor, here, pause
from tests.unit.tasks.model.parts import (
    Clock,
    Engine,
    Hosts,
    Mail,
    Message,
    Store,
    WatchedRecords,
    failed,
    send,
)
from tests.unit.tasks.world import World

HOSTS = ("a", "b", "c")
CLOCK = Clock()
NOW_IN = ("models", "plans", "reconcile", "step", "units.cold", "workflows")
OWN_SECONDS = 20.0


class Model:
    """One fleet. ``actors`` are those at work; ``mail.bag`` what nobody has got yet."""

    def __init__(self) -> None:
        self.redis = FakeRedis(protocol=2, server=FakeServer())
        self.records = WatchedRecords(self.redis)
        self.records.faults, self.records.claims = [], Counter()
        self.stating = {name: WatchedRecords(self.redis, host=name) for name in HOSTS}
        for records in self.stating.values():
            records.faults, records.claims = self.records.faults, self.records.claims
        self.hosts = Hosts(HOSTS)
        self.mail = Mail()
        self.actors: list[Actor] = []
        self.ids: list[str] = []
        self.turns: dict[str, float] = {}
        store = Store(MemoryObjectStore(), keys=UNENCRYPTED, part_bytes=8192, parallel=1)
        self.control = Context(
            records=self.records,
            archives=store,
            registry=cast("Any", self.hosts),
        )
        self.runtimes = {name: FakeRuntime() for name in HOSTS}
        world = World(self.control, self.runtimes)
        for name in reversed(HOSTS):
            container = world.start_web(name)  # where the image is, too
            if name != "a":
                self.runtimes[name].remove(container.id, force=True)
                self.runtimes[name].remove_volume("data")
        self.memory = container.memory  # of the workload when it was last asked for
        self.cancelled: set[str] = set()

    def close(self) -> None:
        for actor in self.actors:
            actor.kill()
        self.redis.close()

    # what clients do

    def ask(self, kind: Kind, target: str, options: Options, deadline_seconds: float) -> None:
        """Raises WorkloadBusyError."""
        [source] = self.running() or ["a"]
        workflow = new_workflow(
            kind,
            "web",
            source=source,
            target=target if kind is Kind.MIGRATE else None,
            options=options,
            deadline_seconds=deadline_seconds,
            checkpoint_id=f"web/20260101T000000Z-{len(self.ids):06d}",
        )
        self.records.create(workflow)
        self.ids.append(workflow.id)
        self.memory = self.copies()[source].memory or self.memory

    def cancel(self) -> None:
        with suppress(InvalidRequestError):
            self.cancelled.add(control.cancel(self.records, self.last.id).id)

    def resume(self) -> None:
        control.resume(self.records, self.last.id, self.hosts.online())

    # what workers do

    def take(self, message: Message) -> None:
        """Have a worker begin with a message."""
        if not message.steps:
            work = lambda: fall_back(  # noqa: E731
                cast("Any", self.mail), self.control, message.workflow, message.epoch
            )
            self._begin("fall_back", work)
            return
        step = self.records.get(message.workflow).steps[message.steps[0]]
        self._begin(f"{step.unit}", lambda: self._run(message, step.unit, step.host), step.host)

    def host_of(self, message: Message) -> str:
        if not message.steps:
            return ""
        return self.records.get(message.workflow).steps[message.steps[0]].host

    def answer(self) -> None:
        if self.redis.llen(BELL):
            self._begin(
                "bell", lambda: answer(cast("Any", self.mail), self.control, wait_seconds=1)
            )

    def reconcile(self) -> None:
        def look() -> None:
            mail, hosts = cast("Any", self.mail), cast("Any", self.hosts)
            reconcile(mail, self.control, hosts, self.redis)

        self._begin("reconcile", look)

    def _begin(self, name: str, work: Callable[[], None], host: str = "") -> None:
        self.actors.append(Actor(name, work, host=host))

    def _run(self, message: Message, unit: Unit, host: str) -> None:
        """As a Celery worker runs a link of a chain."""
        context = replace(
            self.control,
            records=self.stating[host],
            runtime=cast("Any", Engine(self.runtimes[host])),
        )
        task = _unit_task(cast("Any", self.mail), context, unit, UNITS[unit])
        shown = cast("Any", SimpleNamespace(update_state=lambda **_: None, request={}))
        index, *rest = message.steps
        follows: tuple[int, ...] | None = tuple(rest) or None
        try:
            task(shown, workflow_id=message.workflow, step=index, epoch=message.epoch)
        except Ignore:
            return
        except Exception:
            follows = ()
        with suppress(RedisConnectionError):
            if follows is not None:
                self.mail.send(replace(message, steps=follows))

    def advance(self, actor: Actor, fault: Exception | None = None, *, late: bool = False) -> None:
        """Let one actor do one thing; the record is out of reach of a host that is away."""
        if actor.host in self.hosts.away and actor.at in {"record", "send"}:
            fault, late = RedisConnectionError("timed out"), False
        actor.go(fault, late=late)
        self.actors = [one for one in self.actors if not one.over]

    def pass_time(self, seconds: float) -> None:
        """Who is awake renews its lease meanwhile."""
        CLOCK.pass_(seconds)
        for actor in self.actors:
            if not actor.asleep and actor.host not in self.hosts.away:
                actor.renew()

    # what there is

    def copies(self) -> dict[str, FakeContainer]:
        return {
            host: container
            for host, runtime in self.runtimes.items()
            for container in runtime.containers_by_id.values()
        }

    def running(self) -> list[str]:
        copies = self.copies().items()
        return [host for host, copy in copies if copy.state is ContainerState.RUNNING]

    @property
    def last(self) -> Workflow:
        return self.records.get(self.ids[-1])

    def live(self) -> list[Workflow]:
        return [w for w in map(self.records.get, self.ids) if w.state is not State.ENDED]

    def lose_host(self, host: str) -> None:
        """It reaches the record no more; what it has just asked for, it still does."""
        for actor in self.actors:
            while actor.host == host and actor.asked and not actor.over:
                self.advance(actor)
        self.hosts.away.add(host)

    def awake(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.asleep]

    def settle(self) -> None:
        """Heal everything and go on until nothing is left to do."""
        self.hosts.away.clear()
        for actor in self.actors:
            actor.asleep = False
        self.go_on()

    def go_on(self) -> None:
        """Go on until nothing is left to do for those who are awake."""
        for _ in range(400):
            self._drain()
            waiting = {self.host_of(message) for message in self.mail.bag} - self.hosts.away
            if not self.redis.scard(LIVE) and not self.awake() and not waiting:
                return
            self.pass_time(OWN_SECONDS)
            self.reconcile()
        raise AssertionError(f"it does not end: {self.live()} {self.actors}")

    def _drain(self) -> None:
        for _ in range(300):
            self.go_round()
            if not self.awake():
                return

    def go_round(self) -> None:
        """All messages arrive that can, and everyone who is awake does one thing."""
        self.deliver_all()
        for actor in self.awake():
            self.advance(actor)

    def deliver_all(self) -> None:
        self.answer()
        bag, self.mail.bag = self.mail.bag, []
        for message in bag:
            if self.host_of(message) in self.hosts.away:
                self.mail.bag.append(message)
            else:
                self.take(message)


def patched(monkeypatch: pytest.MonkeyPatch, model: Callable[[], Model]) -> None:
    """Put the model's clock, mail and turns in the place of the real ones."""

    def keep(step: Step, _: object) -> None:
        actor = here()
        if actor is not None:
            actor.renew = step.renew

    def take_turn(_: object, name: str, every: Any) -> bool:  # noqa: ANN401
        moment, turns = CLOCK.now().timestamp(), model().turns
        free = turns.get(name, 0.0) <= moment
        if free:
            turns[name] = moment + every.total_seconds()
        return free

    def one_by_one(items: Collection[Any], act: Callable[[Any], Any]) -> list[Any]:
        return [act(item) for item in items]

    def sleep(_: float) -> None:
        pause("sleep")

    for module in NOW_IN:
        monkeypatch.setattr(f"tasks.{module}.now", CLOCK.now)
    monkeypatch.setattr("tasks.workflows._send", send)
    monkeypatch.setattr("tasks.workflows._failed", failed)
    monkeypatch.setattr("tasks.workflows._fitting", lambda *_: None)  # any live host will do
    monkeypatch.setattr("tasks.reconcile.take_turn", take_turn)
    monkeypatch.setattr(import_module("tasks.units.checkpoint"), "in_parallel", one_by_one)
    monkeypatch.setattr("tasks.step._keep", keep)
    monkeypatch.setattr("tasks.step.threading", SimpleNamespace(Event=_Over, Thread=_Inline))
    monkeypatch.setattr("tasks.step.time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=sleep))


class _Over:
    def set(self) -> None:
        actor = here()
        if actor is not None:
            actor.renew = lambda: None


class _Inline:
    """A thread that has run when it is started."""

    def __init__(
        self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool, name: str
    ) -> None:
        self._target, self._args = target, args

    def start(self) -> None:
        self._target(*self._args)

    def join(self) -> None:
        return
