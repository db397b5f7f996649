"""A drain goes on past whatever fails, whoever drives it, and ends when its host is empty."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from runtime import CheckpointFailedError, ContainerState, FakeRuntime, RestoreFailedError, RunSpec
from storage import new_checkpoint_id
from tasks import control, locate, reconcile
from tasks.context import Context
from tasks.drains.driving import Driver
from tasks.drains.models import Drain, DrainOptions, DrainResult, Item, ItemState, Method
from tasks.drains.rates import COLD_SECONDS
from tasks.drains.records import Drains
from tasks.drains.requests import begin_drain, begin_homecoming, cancel_drain
from tasks.errors import (
    DrainNotFoundError,
    HostBusyError,
    HostOfflineError,
    InvalidRequestError,
    NoControlWorkerError,
    SystemContainersError,
    UnknownHostError,
)
from tasks.groups import workload_line
from tasks.hosts import HostState
from tasks.models import (
    Inventory,
    Kind,
    OnDeadline,
    Options,
    Outcome,
    State,
    WorkerInfo,
    Workflow,
    WorkloadLine,
    new_workflow,
    now,
)
from tasks.records import BELL
from tasks.registry import Registry
from tests.unit.tasks.world import IMAGE, World

MIB = 1 << 20


class Fleet(World):
    """Hosts a, b and c with containers on a, and a control worker whose work is done by hand."""

    def __init__(self, context: Context, redis: FakeRedis) -> None:
        self.redis, self.registry, self.drains = redis, Registry(redis), Drains(redis)
        super().__init__(
            context=replace(context, registry=self.registry),
            hosts={host: FakeRuntime() for host in "abc"},
        )
        self.driver = Driver(self.drains, context.records, self.registry)
        self.registry.beat(WorkerInfo(id="control", control=True, version="1", pid=1))
        self.report()

    def start(self, name: str, **labels: str) -> None:
        runtime = self.hosts["a"]
        runtime.images[IMAGE.id] = IMAGE
        spec = RunSpec(
            name=name,
            image=IMAGE.names[0],
            labels={f"podferry.{key}": value for key, value in labels.items()},
        )
        runtime.start(runtime.run(spec))
        self.report()

    def report(self) -> None:
        for host in self.hosts:
            self.registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1))
            self.registry.report(Inventory(host=host, containers=self.lines(host)))

    def lines(self, host: str) -> tuple[WorkloadLine, ...]:
        found = []
        for container in self.hosts[host].containers():
            line = workload_line(container)
            labels = {k: v for k, v in container.labels.items() if k.startswith("podferry.")}
            found.append(line.model_copy(update={"labels": labels, "memory_bytes": 64 * MIB}))
        return tuple(found)

    def drain(self, host: str = "a", *, seconds: float | None = None, **options: object) -> Drain:
        wanted = DrainOptions.model_validate(options)
        return begin_drain(self.drains, self.registry, host, wanted, deadline_seconds=seconds)

    def under_way(self) -> list[Workflow]:
        return [w for w in self.context.records.live() if w.state is State.QUEUED]

    def step(self, drain: Drain) -> Drain:
        """One look of a control worker, and whatever it began, to its end."""
        self.driver.drive(drain.id)
        for workflow in self.context.records.live():
            if workflow.state is State.QUEUED:
                self.finish(workflow)
            else:
                self.run_plan(workflow)
        self.report()
        return self.drains.get(drain.id)

    def to_the_end(self, drain: Drain) -> Drain:
        for _ in range(30):
            if (drain := self.step(drain)).state is State.ENDED:
                return drain
        raise AssertionError(f"it does not end: {drain}")

    def running(self, host: str) -> set[str]:
        runtime = self.hosts[host]
        found = runtime.containers_by_id.values()
        return {c.spec.name for c in found if c.state is ContainerState.RUNNING}


@pytest.fixture
def fleet(context: Context, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    return Fleet(context, redis)


def by_name(drain: Drain) -> dict[str, Item]:
    return {item.workload: item for item in drain.items}


def test_everything_leaves_and_the_host_stays_cordoned(fleet: Fleet) -> None:
    for name in ("one", "two", "three"):
        fleet.start(name)
    drain = fleet.to_the_end(fleet.drain())
    assert drain.result is DrainResult.DRAINED
    assert {item.outcome for item in drain.items} == {Outcome.MOVED}
    assert not fleet.running("a")
    assert fleet.running("b") | fleet.running("c") == {"one", "two", "three"}
    assert fleet.running("b"), "they are spread"
    assert fleet.running("c"), "they are spread"
    assert fleet.registry.require_host("a").state is HostState.CORDONED


def test_the_last_look_at_an_emptied_host_rings(fleet: Fleet) -> None:
    fleet.start("one")
    drain = fleet.drain()
    fleet.driver.drive(drain.id)
    (workflow,) = fleet.under_way()
    fleet.report()
    fleet.finish(workflow)
    assert fleet.driver.drive(drain.id).state is State.RUNNING, "the last look is too old"
    fleet.redis.delete(BELL)
    fleet.report()
    assert fleet.redis.lpop(BELL) == drain.id.encode()
    assert fleet.driver.drive(drain.id).result is DrainResult.DRAINED
    fleet.report()
    assert not fleet.redis.exists(BELL)


def test_it_is_draining_meanwhile(fleet: Fleet) -> None:
    fleet.start("one")
    drain = fleet.drain()
    status = fleet.registry.require_host("a")
    assert status.state is HostState.DRAINING
    assert status.cordon is not None
    assert status.cordon.drain == drain.id


def test_no_more_leave_at_once_than_was_asked(fleet: Fleet) -> None:
    for number in range(5):
        fleet.start(f"c{number}")
    drain = fleet.drain(max_parallel=2)
    fleet.driver.drive(drain.id)
    fleet.driver.drive(drain.id)
    assert len(fleet.under_way()) == 2


def test_no_more_go_to_one_host_at_once_than_was_asked(fleet: Fleet) -> None:
    for number in range(6):
        fleet.start(f"c{number}")
    drain = fleet.drain(max_parallel=6, per_target=1)
    fleet.driver.drive(drain.id)
    assert sorted(w.target or "" for w in fleet.under_way()) == ["b", "c"]


def test_who_takes_over_in_the_middle_begins_nothing_twice(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.start("one")
    drain = fleet.drain()
    with monkeypatch.context() as patch:
        patch.setattr(fleet.context.records, "create", _dies)
        with pytest.raises(KeyboardInterrupt):
            fleet.driver.drive(drain.id)
    assert not fleet.under_way()
    for _ in range(3):
        fleet.driver.drive(drain.id)
    assert len(fleet.under_way()) == 1
    assert fleet.to_the_end(drain).result is DrainResult.DRAINED
    assert len(fleet.context.records.recent()) == 1


def test_one_that_cannot_be_checkpointed_goes_cold_and_says_why(fleet: Fleet) -> None:
    fleet.start("one")
    fleet.hosts["a"].faults["checkpoint"] = [CheckpointFailedError("1", "no CRIU for this")] * 9
    item = by_name(fleet.to_the_end(fleet.drain()))["one"]
    assert (item.state, item.outcome) == (ItemState.DONE, Outcome.COLD)
    assert "no CRIU for this" in item.because
    assert not fleet.running("a")


def test_one_that_fails_everywhere_is_reported_and_the_others_leave(fleet: Fleet) -> None:
    fleet.start("one", policy="live")
    fleet.start("two")
    fleet.hosts["a"].faults["checkpoint"] = [CheckpointFailedError("1", "no CRIU for this")] * 9
    drain = fleet.to_the_end(fleet.drain())
    assert drain.result is DrainResult.INCOMPLETE
    items = by_name(drain)
    assert items["one"].state is ItemState.FAILED
    assert "no CRIU for this" in items["one"].reason
    assert items["two"].state is ItemState.DONE
    assert fleet.running("a") == {"one"}


def test_a_target_that_fails_is_not_tried_again(fleet: Fleet) -> None:
    fleet.start("one")
    fleet.hosts["b"].faults["restore"] = [RestoreFailedError("1", "broken")] * 9
    drain = fleet.to_the_end(fleet.drain())
    assert fleet.running("c") == {"one"}
    assert drain.result is DrainResult.DRAINED


def test_without_a_host_that_fits_it_is_parked_and_runs_on(fleet: Fleet) -> None:
    fleet.start("one")
    for host in "bc":
        fleet.registry.cordon(host)
    drain = fleet.drain()
    for _ in range(3):
        drain = fleet.step(drain)
    item = by_name(drain)["one"]
    assert item.state is ItemState.PARKED
    assert "b: cordoned; c: cordoned" in item.reason
    assert fleet.running("a") == {"one"}
    fleet.registry.uncordon("c")
    assert fleet.to_the_end(drain).result is DrainResult.DRAINED
    assert fleet.running("c") == {"one"}


def test_what_is_parked_when_the_deadline_passes_has_failed(fleet: Fleet) -> None:
    fleet.start("one")
    for host in "bc":
        fleet.registry.cordon(host)
    drain = fleet.to_the_end(fleet.drain(seconds=0.05))
    assert (drain.result, fleet.running("a")) == (DrainResult.INCOMPLETE, {"one"})
    assert "no host fits" in by_name(drain)["one"].reason


def test_past_the_deadline_what_goes_cold_goes_all_the_same(fleet: Fleet) -> None:
    for number in range(4):
        fleet.start(f"c{number}")
    drain = fleet.to_the_end(fleet.drain(seconds=0.05, max_parallel=1))
    assert drain.result is DrainResult.DRAINED
    assert {item.outcome for item in drain.items} == {Outcome.COLD}
    assert not fleet.running("a")


def test_labels_say_how_each_leaves(fleet: Fleet) -> None:
    fleet.start("still", policy="stop")
    fleet.start("cold", policy="cold")
    fleet.start("ours", system="true")
    drain = fleet.to_the_end(fleet.drain(ignore_system=True))
    items = by_name(drain)
    assert drain.result is DrainResult.DRAINED
    assert (items["still"].outcome, items["still"].method) == (Outcome.STOPPED, Method.STOP)
    assert items["cold"].outcome is Outcome.COLD
    assert items["ours"].state is ItemState.STAYS
    assert fleet.running("a") == {"ours"}


def test_the_hosts_own_containers_refuse_a_drain(fleet: Fleet) -> None:
    fleet.start("ours", system="true")
    with pytest.raises(SystemContainersError, match="ours"):
        fleet.drain()
    assert fleet.registry.require_host("a").state is HostState.ACTIVE


def test_what_comes_to_the_host_meanwhile_is_drained_too(fleet: Fleet) -> None:
    fleet.start("one")
    drain = fleet.drain()
    fleet.step(drain)
    fleet.start("late")
    drain = fleet.to_the_end(drain)
    assert set(by_name(drain)) == {"one", "late"}
    assert not fleet.running("a")


def test_what_waits_does_not_go_to_a_host_that_was_cordoned_meanwhile(fleet: Fleet) -> None:
    for number in range(5):
        fleet.start(f"c{number}")
    drain = fleet.drain(max_parallel=1)
    fleet.driver.drive(drain.id)
    (first,) = fleet.under_way()
    shut = next(host for host in "bc" if host != first.target)
    fleet.registry.cordon(shut)
    assert fleet.to_the_end(drain).result is DrainResult.DRAINED
    assert not fleet.running(shut)
    assert len(fleet.running(first.target or "")) == 5


def test_what_is_on_its_way_to_an_emptied_host_is_waited_for(fleet: Fleet) -> None:
    fleet.start("one")
    stored = new_checkpoint_id("one", now())
    move = new_workflow(Kind.MIGRATE, "one", source="a", target="b", checkpoint_id=stored)
    fleet.context.records.create(move)
    drain = fleet.drain("b")
    assert fleet.driver.drive(drain.id).state is State.RUNNING
    fleet.finish(move)
    assert fleet.driver.drive(drain.id).state is State.RUNNING, "the last look is too old"
    fleet.report()
    drain = fleet.to_the_end(drain)
    assert (drain.result, set(by_name(drain))) == (DrainResult.DRAINED, {"one"})
    assert not fleet.running("b")


def test_an_empty_host_is_drained(fleet: Fleet) -> None:
    assert fleet.to_the_end(fleet.drain()).result is DrainResult.DRAINED


def test_a_cancel_begins_nothing_more_and_calls_back_what_it_can(fleet: Fleet) -> None:
    for number in range(4):
        fleet.start(f"c{number}")
    drain = fleet.drain(max_parallel=1)
    fleet.driver.drive(drain.id)
    cancel_drain(fleet.drains, drain.id)
    drain = fleet.to_the_end(drain)
    assert drain.result is DrainResult.CANCELLED
    assert fleet.running("a") == {f"c{n}" for n in range(4)}
    assert fleet.registry.require_host("a").state is HostState.CORDONED
    with pytest.raises(InvalidRequestError, match="has ended"):
        cancel_drain(fleet.drains, drain.id)


def test_a_busy_workload_is_waited_for(fleet: Fleet) -> None:
    web = fleet.start_web()
    fleet.report()
    other = _checkpoint_of(fleet)
    drain = fleet.drain()
    fleet.driver.drive(drain.id)
    control.cancel(fleet.context.records, other.id)
    assert fleet.to_the_end(drain).result is DrainResult.DRAINED
    assert web.spec.name in fleet.running("b") | fleet.running("c")


def test_what_left_comes_home_with_its_memory_and_what_was_stopped_is_started(
    fleet: Fleet,
) -> None:
    fleet.start("one")
    fleet.start("still", policy="stop")
    fleet.to_the_end(fleet.drain())
    home = begin_homecoming(fleet.drains, fleet.registry, "a", _inventories(fleet))
    home = fleet.to_the_end(home)
    assert home.result is DrainResult.DRAINED
    assert fleet.running("a") == {"one", "still"}
    assert by_name(home)["one"].outcome is Outcome.MOVED
    assert by_name(home)["still"].method is Method.START
    assert fleet.registry.require_host("a").state is HostState.ACTIVE


def test_what_ends_elsewhere_has_not_come_home(fleet: Fleet) -> None:
    fleet.start("one")
    fleet.to_the_end(fleet.drain())
    fleet.hosts["a"].faults["restore"] = [RestoreFailedError("one", "no room")]

    home = begin_homecoming(fleet.drains, fleet.registry, "a", _inventories(fleet))
    home = fleet.to_the_end(home)

    assert home.result is DrainResult.INCOMPLETE
    one = by_name(home)["one"]
    assert one.state is ItemState.FAILED
    assert one.target in {"b", "c"}
    assert one.reason.startswith(f"it is on {one.target} now: ")
    assert "no room" in one.reason


def test_a_host_that_was_not_drained_has_nothing_to_bring_home(fleet: Fleet) -> None:
    with pytest.raises(InvalidRequestError, match="was not drained"):
        begin_homecoming(fleet.drains, fleet.registry, "a", ())


def test_one_drain_of_a_host_at_a_time(fleet: Fleet) -> None:
    fleet.start("one")
    first = fleet.drain()
    with pytest.raises(HostBusyError, match=first.id):
        fleet.drain()
    fleet.to_the_end(first)
    assert fleet.to_the_end(fleet.drain()).result is DrainResult.DRAINED


@pytest.mark.parametrize(("seconds", "reads"), [(None, 1), (3600.0, 2)])
def test_a_drain_is_not_read_before_its_turn(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, seconds: float | None, reads: int
) -> None:
    monkeypatch.setattr(reconcile, "DEADLINE_LOOK", timedelta(milliseconds=1))
    drain = fleet.drain(seconds=seconds)
    driven: list[str] = []

    def drive(context: Context, drain_id: str) -> Drain:
        driven.append(drain_id)
        return drain

    monkeypatch.setattr(reconcile, "drive", drive)
    context = replace(fleet.context, drains=fleet.drains)
    for _ in range(2):
        reconcile.reconcile_drains(context, fleet.redis)
        time.sleep(0.01)
    assert driven == [drain.id] * reads


@pytest.mark.parametrize(
    ("away", "error"), [("host.a", HostOfflineError), ("control", NoControlWorkerError)]
)
def test_a_drain_that_nobody_would_do_is_refused(
    fleet: Fleet, away: str, error: type[Exception]
) -> None:
    fleet.redis.delete(f"podferry:alive:{away}")
    with pytest.raises(error):
        fleet.drain()


def test_unknown_names(fleet: Fleet) -> None:
    with pytest.raises(UnknownHostError):
        fleet.drain("x")
    with pytest.raises(DrainNotFoundError):
        fleet.drains.get("drain-x")


def test_what_would_be_called_back_is_not_begun(fleet: Fleet) -> None:
    fleet.start("one")
    drain = fleet.drain(seconds=0.5, on_deadline=OnDeadline.ABORT)
    fleet.driver.drive(drain.id)
    assert not fleet.under_way()


def test_the_deadline_is_every_workflows(fleet: Fleet) -> None:
    fleet.start("one")
    drain = fleet.drain(seconds=60)
    fleet.driver.drive(drain.id)
    (workflow,) = fleet.under_way()
    assert drain.deadline is not None
    spare = drain.deadline - workflow.deadline
    assert timedelta(seconds=2 * COLD_SECONDS - 1) < spare < timedelta(seconds=2 * COLD_SECONDS + 1)
    assert workflow.options == Options(on_deadline=OnDeadline.COLD)
    assert workflow.need is not None


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def _inventories(fleet: Fleet) -> list[Inventory]:
    return list(fleet.registry.inventories().values())


def _checkpoint_of(fleet: Fleet) -> Workflow:
    from tasks.locate import Place
    from tasks.schedules import checkpoint_workflow

    workflow = checkpoint_workflow(Place(host="a", name="web"), Options(), 60)
    fleet.context.records.create(workflow)
    return workflow
