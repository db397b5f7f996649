"""Podman's pods move as one, or stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podferry import Outcome
from runtime import PodSpec
from tests.fleet import HOSTS, Fleet, State, eventually
from tests.pods import Pod

pytestmark = pytest.mark.integration


@pytest.fixture
def pod(fleet: Fleet) -> Iterator[Pod]:
    """A pod on host a, gone from every host after the test."""
    made = Pod(fleet)
    try:
        made.start()
        yield made
    finally:
        made.forget()


def nothing_went_back(kept: list[int]) -> bool:
    return kept == list(range(1, len(kept) + 1))


def live_on(before: list[State], after: list[State]) -> bool:
    return all(was.lives_on_in(now) for was, now in zip(before, after, strict=True))


def test_a_pod_moves_there_and_back_with_its_connections(fleet: Fleet, pod: Pod) -> None:
    before, heard, spec = pod.counting("a"), pod.heard("a"), pod.spec("a")

    there = fleet.workflow("migrate", pod.name, "--to", "b")

    assert there.outcome is Outcome.MOVED, there.reason
    assert pod.left_on("a") == set()
    assert pod.spec("b") == spec
    assert pod.connected("b")
    assert pod.heard("b") > heard
    assert nothing_went_back(pod.kept("b"))
    after = pod.counting("b")
    assert live_on(before, after)
    assert fleet.runtime("b").network(pod.network).options["mtu"] == "1400"
    assert fleet.runtime("b").inspect(pod.counters[0].name).spec.restart.name == "always"

    fleet.workflow("migrate", pod.name, "--to", "a")

    assert pod.connected("a")
    assert pod.spec("a") == spec
    assert pod.left_on("b") == set()
    assert live_on(after, pod.counting("a"))


def test_a_pod_that_is_sent_ahead_moves_with_its_connections(fleet: Fleet, pod: Pod) -> None:
    before, heard = pod.counting("a"), pod.heard("a")

    moved = fleet.workflow("migrate", pod.name, "--to", "b", "--preseed")

    assert moved.outcome is Outcome.MOVED, moved.reason
    assert pod.left_on("a") == set()
    assert pod.connected("b")
    assert pod.heard("b") > heard
    assert nothing_went_back(pod.kept("b"))
    assert live_on(before, pod.counting("b"))
    [one, *_] = fleet.checkpoints(pod.counters[0].name)
    assert one["chain"]


@pytest.mark.parametrize("failing", HOSTS)
def test_one_member_that_fails_keeps_all_of_them(fleet: Fleet, pod: Pod, failing: str) -> None:
    before, here, spec = pod.counting("a"), pod.left_on("a"), pod.spec("a")
    member = pod.counters[1].on("a")
    assert member is not None

    with fleet.criu_failing_for(failing, member.id):
        back = fleet.workflow("migrate", pod.name, "--to", "b", code=3)

    assert back.outcome is Outcome.RESUMED
    assert pod.left_on("a") == here
    assert pod.left_on("b") == set()
    assert pod.spec("a") == spec
    assert pod.connected("a")
    assert nothing_went_back(pod.kept("a"))
    assert live_on(before, pod.counting("a"))


def test_a_pod_s_checkpoint_is_restored_as_one(fleet: Fleet, pod: Pod) -> None:
    before, spec = pod.counting("a"), pod.spec("a")
    made = fleet.workflow("checkpoint", pod.name)
    assert pod.connected("a")

    restored = fleet.workflow("restore", made.checkpoint_id, "--to", "a", "--replace")

    assert restored.outcome is Outcome.RESTORED, restored.reason
    assert pod.connected("a")
    assert pod.spec("a") == spec
    assert [s.boot_id for s in pod.counting("a")] == [s.boot_id for s in before]


def test_a_project_as_podman_compose_makes_it_takes_its_pod_along(fleet: Fleet) -> None:
    """Podman restores into no pod without an infra container, so it gets one."""
    project = Pod(fleet)
    try:
        project.start_without_infra()
        before = project.counting("a")

        there = fleet.workflow("migrate", project.project, "--to", "b")

        assert there.outcome is Outcome.MOVED, there.reason
        assert project.left_on("a") == set()
        assert live_on(before, project.counting("b"))
        made = fleet.runtime("b").pod(project.name)
        assert set(made.members) == {counter.name for counter in project.counters}
        assert made.spec.share == ()

        back = fleet.workflow("migrate", project.project, "--to", "a")

        assert back.outcome is Outcome.MOVED, back.reason
        assert live_on(before, project.counting("a"))
    finally:
        project.forget()


def test_what_of_a_pod_could_not_come_back_is_said_before(fleet: Fleet, pod: Pod) -> None:
    fleet.runtime("b").create_pod(PodSpec(name=pod.name))
    pod.add(f"{pod.name}-over", ("true",))
    over = f"{pod.name}-over"
    runtime = fleet.runtime("a")
    eventually(lambda: runtime.inspect(over).state == "exited", "it does not end")

    answer = fleet.run("preflight", pod.name, "--to", "b", "-o", "json")

    for code in ("pod-members", "name-in-use", "pod-shm"):
        assert f'"{code}"' in answer.stdout
    assert over in answer.stdout
    alone = fleet.run("preflight", pod.db, "--to", "b", "-o", "json")
    assert f"podferry migrate {pod.name} --to HOST" in alone.stdout
    assert pod.connected("a")
