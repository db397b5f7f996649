"""What is known of hosts, and what follows for a move that names none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from runtime import FakeRuntime, RestoreFailedError, Room
from tasks.again import command_of, renewed
from tasks.context import Context
from tasks.errors import InvalidRequestError, UnknownHostError
from tasks.groups import workload_line
from tasks.hosts import HostReport, HostState, HostStatus, parse_label, parse_labels
from tasks.locate import Place
from tasks.models import (
    Inventory,
    Kind,
    Need,
    Options,
    Outcome,
    State,
    WorkerInfo,
    Workflow,
    new_workflow,
    now,
)
from tasks.placing import Placer, need_of
from tasks.reconcile import Start, _turn, due
from tasks.registry import Registry
from tasks.workflows import begin
from tests.unit.tasks.world import World

MIB = 1 << 20


class Fleet(World):
    """Hosts a, b and c; web runs on a."""

    def __init__(self, context: Context, redis: FakeRedis) -> None:
        self.redis, self.registry = redis, Registry(redis)
        super().__init__(
            context=replace(context, registry=self.registry),
            hosts={host: FakeRuntime() for host in "abc"},
        )
        for host in self.hosts:
            self.registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1))
            self.room(host, 1024)
        self.start_web()
        self.report()

    def report(self) -> None:
        for host, runtime in self.hosts.items():
            lines = tuple(workload_line(c, 64 * MIB) for c in runtime.containers())
            self.registry.report(Inventory(host=host, containers=lines))

    def room(self, host: str, mib: int, **labels: str) -> None:
        told = self.hosts[host].host_facts()
        facts = told.model_copy(update={"memory_total_bytes": 2048 * MIB})
        self.registry.report_host(
            HostReport(
                host=host, facts=facts, labels=labels, room=Room(memory_bytes=mib * MIB, load=0.5)
            )
        )

    def ask(self, seconds: float = 60, **selector: str) -> Workflow:
        """A move to whichever host fits."""
        return new_workflow(
            Kind.MIGRATE,
            "web",
            source="a",
            options=Options(anywhere=True, selector=selector),
            deadline_seconds=seconds,
            checkpoint_id="web/20260101T000000Z-000000",
        )

    def status(self, host: str) -> HostStatus:
        return self.registry.require_host(host)


@pytest.fixture
def fleet(context: Context, redis: FakeRedis) -> Fleet:
    return Fleet(context, redis)


def test_a_host_is_what_its_worker_tells_and_what_operators_say(fleet: Fleet) -> None:
    fleet.room("b", 512, zone="x", disk="ssd")
    fleet.registry.label("b", {"zone": "y", "rack": "1"})
    status = fleet.status("b")
    assert status.labels == {"zone": "y", "disk": "ssd", "rack": "1"}
    assert (status.memory_free_bytes, status.room.load) == (512 * MIB, 0.5)
    assert status.facts is not None
    fleet.registry.label("b", {}, ["zone"])
    assert fleet.status("b").labels == {"zone": "x", "disk": "ssd", "rack": "1"}


def test_a_cordon_stays_until_it_is_taken_back(fleet: Fleet) -> None:
    fleet.registry.cordon("b", "new kernel")
    fleet.registry.beat(WorkerInfo(id="host.b", host="b", version="2", pid=2))
    status = fleet.status("b")
    assert (status.state, status.cordon and status.cordon.reason) == (
        HostState.CORDONED,
        "new kernel",
    )
    assert fleet.registry.uncordon("b")
    assert not fleet.registry.uncordon("b")
    assert fleet.status("b").state is HostState.ACTIVE


def test_what_was_read_of_hosts_is_remembered_but_for_cordons(fleet: Fleet) -> None:
    records = fleet.context.records
    placer = Placer(records, Registry(fleet.redis, remember_seconds=3600))

    def told() -> dict[str, tuple[HostState, int | None]]:
        return {c.host: (c.state, c.memory_left_bytes) for c in placer.candidates()}

    before = told()
    fleet.room("a", 1)
    fleet.registry.cordon("b")
    assert told() == {**before, "b": (HostState.CORDONED, before["b"][1])}
    fleet.registry.uncordon("b")
    assert told() == before
    small = Need(names=("db",), memory_bytes=64 * MIB)
    records.create(new_workflow(Kind.MIGRATE, "db", source="a", target="c", need=small))
    assert told()["c"] == (HostState.ACTIVE, 960 * MIB)


def test_a_host_that_vanishes_is_offline(fleet: Fleet) -> None:
    fleet.registry.cordon("b")
    fleet.redis.delete("podferry:alive:host.b")
    [status] = [status for status in fleet.registry.hosts() if status.host == "b"]
    assert status.state is HostState.OFFLINE


def test_unknown_hosts_are_refused(fleet: Fleet) -> None:
    for act in (
        lambda: fleet.registry.cordon("x"),
        lambda: fleet.registry.uncordon("x"),
        lambda: fleet.registry.label("x", {"zone": "a"}),
    ):
        with pytest.raises(UnknownHostError, match="a, b, c"):
            act()


@pytest.mark.parametrize("text", ["zone", "=a", "zone=a b", "-x=1", "zone=" + "a" * 64])
def test_labels_that_are_none(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not KEY=VALUE"):
        parse_label(text)


def test_labels_as_people_write_them() -> None:
    assert parse_labels(" zone=a, disk=ssd,") == {"zone": "a", "disk": "ssd"}
    assert parse_labels("") == {}


def test_a_move_that_names_no_host_goes_to_the_best(fleet: Fleet) -> None:
    fleet.room("b", 100)
    moved = fleet.run(fleet.ask())
    assert (moved.outcome, moved.target) == (Outcome.MOVED, "c")
    assert moved.need is not None
    assert moved.need.memory_bytes == 64 * MIB


def test_a_selector_chooses_among_hosts(fleet: Fleet) -> None:
    fleet.room("b", 100, zone="x")
    assert fleet.run(fleet.ask(zone="x")).target == "b"


def test_where_none_fits_it_is_parked_and_runs_on(fleet: Fleet) -> None:
    for host in "bc":
        fleet.room(host, 32)
    asked = fleet.ask()
    fleet.context.records.create(asked)
    assert begin(fleet.context, asked.id) is None
    parked = fleet.context.records.get(asked.id)
    assert parked.state is State.QUEUED
    assert "b: needs 64 MiB of memory, 32 MiB is free" in parked.reason
    web = fleet.on("a")
    assert web is not None
    assert web.memory

    assert parked.not_before is not None
    assert due(parked, "abc", now(), lost_after=timedelta()) is None
    assert due(parked, "abc", parked.not_before) == Start()
    fleet.room("c", 1024)
    done = fleet.finish(parked)
    assert (done.outcome, done.target, done.reason) == (Outcome.MOVED, "c", "")


def test_at_its_deadline_a_parked_one_ends_untouched(fleet: Fleet) -> None:
    for host in "bc":
        fleet.registry.cordon(host)
    asked = fleet.ask(seconds=-1)
    fleet.context.records.create(asked)
    assert begin(fleet.context, asked.id) is None
    ended = fleet.context.records.get(asked.id)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.UNTOUCHED)
    assert "c: cordoned" in ended.reason
    assert ended.next_command == "podferry migrate web"


def test_what_is_on_its_way_is_reserved_until_it_ends(fleet: Fleet) -> None:
    other = new_workflow(
        Kind.MIGRATE,
        "db",
        source="a",
        target="b",
        need=Need(names=("db",), memory_bytes=1000 * MIB),
    )
    fleet.context.records.create(other)
    placer = Placer(fleet.context.records, fleet.registry)
    left = {c.host: c.memory_left_bytes for c in placer.candidates()}
    assert (left["b"], left["c"]) == (24 * MIB, 1024 * MIB)
    fleet.context.records.update(
        other.id, lambda w: w.model_copy(update={"state": State.ENDED, "ended": now()})
    )
    left = {c.host: c.memory_left_bytes for c in placer.candidates()}
    assert left["b"] == 1024 * MIB


@pytest.mark.parametrize("fails", [False, True])
def test_the_same_room_is_not_given_twice(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Another workflow is given its target between a look at the hosts and what comes of it."""
    fleet.room("b", 100)
    fleet.room("c", 32)
    place, other = (
        Placer.place,
        new_workflow(Kind.MIGRATE, "db", source="a", target="b", need=Need(memory_bytes=64 * MIB)),
    )

    def overtaken(placer: Placer, workflow: Workflow) -> object:
        found = place(placer, workflow)
        fleet.context.records.create(other)
        return found

    asked = fleet.ask()
    if fails:
        asked = asked.model_copy(update={"target": "c", "options": Options()})
        fleet.hosts["c"].faults["restore"] = [RestoreFailedError("1", "broken")] * 9
    monkeypatch.setattr(Placer, "place", overtaken)
    fleet.context.records.create(asked)
    ended = fleet.finish(asked)
    assert "b" not in {step.host for step in ended.steps}


def test_what_is_parked_has_a_turn_for_each_look(fleet: Fleet) -> None:
    for host in "bc":
        fleet.registry.cordon(host)
    asked, turns = fleet.ask(), set()
    fleet.context.records.create(asked)
    for seconds in (0, 10, 20):
        begin(fleet.context, asked.id)
        parked = fleet.context.records.get(asked.id)
        assert parked.not_before is not None
        assert parked.not_before <= asked.deadline
        later = parked.not_before + timedelta(seconds=seconds)
        turns.add(_turn(parked.model_copy(update={"not_before": later}), Start()))
    assert len(turns) == 3


def test_a_chosen_host_that_refuses_is_followed_by_the_next(fleet: Fleet) -> None:
    fleet.hosts["b"].host = fleet.hosts["b"].host.model_copy(update={"rootless": True})
    moved = fleet.run(fleet.ask())
    assert (moved.outcome, moved.target) == (Outcome.MOVED, "c")
    assert [step.host for step in moved.steps if step.error] == ["b"]


def test_a_failed_restore_goes_to_the_host_that_fits_next(fleet: Fleet) -> None:
    fleet.hosts["b"].faults["restore"] = [RestoreFailedError("1", "broken")] * 9
    fleet.registry.cordon("c")
    moved = fleet.run(
        new_workflow(
            Kind.MIGRATE, "web", source="a", target="b", checkpoint_id="web/20260101T000000Z-0a0000"
        )
    )
    assert moved.outcome is Outcome.COLD, "a cordoned host is not another one to try"
    assert moved.target == "b"


def test_asked_again_it_goes_anywhere_again(fleet: Fleet) -> None:
    asked = fleet.ask(zone="x").model_copy(update={"target": "b"})
    again = renewed(asked, Place(host="a", name="web"))
    assert (again.target, again.options) == (None, asked.options)
    assert command_of(asked) == "podferry migrate web"


def test_labels_of_containers_say_what_they_need(fleet: Fleet) -> None:
    [line] = [workload_line(c, MIB) for c in fleet.hosts["a"].containers()]
    labels = {"podferry.affinity": "zone=a", "podferry.spread": "web"}
    need = need_of([line.model_copy(update={"labels": labels})], source="a", selector={"disk": "s"})
    assert (need.labels, need.spread) == ({"zone": "a", "disk": "s"}, ("web",))
    with pytest.raises(InvalidRequestError):
        need_of([line.model_copy(update={"labels": {"podferry.affinity": "x"}})], source="a")
