"""A host of 24 containers is emptied and filled again, on four real hosts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest

from podferry import Drain, DrainResult, HostState, Item, ItemState, Method, Outcome
from tests.fleet import Done, Fleet, State, Workload, eventually
from tests.lab import lab
from tests.projects import Project

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

HOSTS = ("a", "b", "c", "d")
SIZES = (8, 512, 8, 128, 16, 256, 32, 8, 64, 16, 128, 32, 64, 16, 8)  # MiB


class Crowd:
    """24 containers on host a: sixteen of their own, of all sizes, and two projects of four."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.singles = [Workload(fleet, f"w{number}") for number in range(len(SIZES))]
        self.awkward = Workload(fleet, "awkward")  # nothing that CRIU could dump
        self.projects = [Project(fleet) for _ in range(2)]

    @property
    def workloads(self) -> list[Workload]:
        counters = [counter for project in self.projects for counter in project.counters]
        return [*self.singles, self.awkward, *counters]

    def start(self) -> None:
        for workload, mib, volume in zip(self.singles, SIZES, cycle((True, False)), strict=False):
            workload.start(workload.spec(memory_mib=mib, volume=volume))
        self.awkward.start(self.awkward.spec(volume=True))
        for project in self.projects:
            project.start()
        assert len(self.fleet.runtime("a").containers()) == 24

    def states(self) -> dict[str, State]:
        """The newest state of each, wherever it runs; it runs in one place only."""
        return {w.name: w.counting(self.host_of(w)) for w in self.workloads}

    def host_of(self, workload: Workload) -> str:
        found = [host for host in HOSTS if workload.on(host) is not None]
        assert len(found) == 1, f"{workload.name} is on {found}"
        return found[0]

    def left(self, host: str) -> int:
        return len(self.fleet.runtime(host).containers())

    def forget(self) -> None:
        for workload in (*self.singles, self.awkward):
            workload.forget()
        for project in self.projects:
            project.forget()


@pytest.fixture(scope="module")
def four() -> Iterator[Fleet]:
    """Four hosts; a worker that died is noticed soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODFERRY_LEASE_SECONDS", "5")
        with lab(HOSTS, minio="yes") as made:
            fleet = Fleet(made, hosts=HOSTS)
            try:
                fleet.start()
                yield fleet
            finally:
                fleet.close()


@pytest.fixture
def crowd(four: Fleet) -> Iterator[Crowd]:
    crowd = Crowd(four)
    try:
        crowd.start()
        yield crowd
    finally:
        crowd.forget()
        four.run("uncordon", "a")


def ended(done: Done, code: int) -> Drain:
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return Drain.model_validate_json(done.stdout)


def kept(before: dict[str, State], after: dict[str, State]) -> set[str]:
    """Which have their memory still."""
    return {name for name, state in before.items() if state.lives_on_in(after[name])}


def outcomes(drain: Drain) -> dict[str, Item]:
    """What became of each container."""
    return {name: item for item in drain.items for name in item.containers}


def test_all_leave_with_their_memory_but_the_one_that_cannot_and_come_home(
    four: Fleet, crowd: Crowd
) -> None:
    before = crowd.states()
    awkward = crowd.awkward.on("a")
    assert awkward is not None
    with four.criu_failing_for("a", awkward.id):
        drain = ended(four.run("drain", "a", "--max-parallel", "3", "-o", "json"), 3)

    assert drain.result is DrainResult.DRAINED
    assert crowd.left("a") == 0
    after = crowd.states()
    assert kept(before, after) == before.keys() - {crowd.awkward.name}
    found = outcomes(drain)[crowd.awkward.name]
    assert (found.method, found.outcome) == (Method.COLD, Outcome.COLD)
    assert "checkpoint on a" in found.because
    assert len({crowd.host_of(workload) for workload in crowd.workloads}) == 3, "they are spread"
    [status] = [status for status in four.client.hosts() if status.host == "a"]
    assert status.state is HostState.CORDONED
    for project in crowd.projects:
        [host] = [host for host in HOSTS if project.on(host)]
        assert project.on(host) == set(project.containers), "a project stays together"
        assert project.connected(host)

    home = ended(four.run("restore-host", "a", "--max-parallel", "3", "-o", "json"), 0)

    assert home.result is DrainResult.DRAINED
    assert {crowd.host_of(workload) for workload in crowd.workloads} == {"a"}
    assert kept(after, crowd.states()) == after.keys()


def test_under_a_deadline_the_planned_ones_keep_their_memory_and_the_others_go_cold(
    four: Fleet, crowd: Crowd
) -> None:
    whole = ended(four.run("drain", "a", "--dry-run", "--max-parallel", "3", "-o", "json"), 0)
    assert {item.method for item in whole.items} == {Method.LIVE}
    assert crowd.left("a") == 24, "a dry run touches nothing"
    before = crowd.states()
    words = ("--deadline", f"{max(5, round(whole.estimate * 0.6))}s", "--max-parallel", "3")

    drain = ended(four.run("drain", "a", *words, "-o", "json"), 3)

    assert drain.result is DrainResult.DRAINED
    assert crowd.left("a") == 0
    live = kept(before, crowd.states())
    moved = {name for name, item in outcomes(drain).items() if item.outcome is Outcome.MOVED}
    assert live == moved & before.keys()
    assert live, "there was time for some"
    cold = [item for item in drain.items if item.outcome is Outcome.COLD]
    assert cold, "there was no time for all"
    assert any("no time for its memory" in item.because for item in cold)


def test_a_target_that_dies_half_way_is_replaced(four: Fleet, crowd: Crowd) -> None:
    before = crowd.states()
    with four.started("drain", "a", "--max-parallel", "3", "-o", "json") as finished:
        first = eventually(lambda: _first_target(four), "nothing has left")
        four.kill_worker(first)
        try:
            drain = ended(finished(), 0)
        finally:
            four.start_workers()

    assert drain.result is DrainResult.DRAINED
    assert {item.state for item in drain.items} == {ItemState.DONE}
    assert crowd.left("a") == 0
    assert kept(before, crowd.states()) == before.keys()


def _first_target(fleet: Fleet) -> str | None:
    """The host that the first workload has come to."""
    [drain] = fleet.client.drains.recent(1, host="a")
    done = [item for item in drain.items if item.state is ItemState.DONE]
    return done[0].target if done else None
