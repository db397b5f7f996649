"""Containers that belong together move as one, or stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podferry import Outcome
from tests.fleet import Fleet
from tests.projects import Project

pytestmark = pytest.mark.integration


@pytest.fixture
def project(fleet: Fleet) -> Iterator[Project]:
    """A project on host a, gone from every host after the test."""
    made = Project(fleet)
    try:
        made.start()
        yield made
    finally:
        made.forget()


def nothing_went_back(kept: list[int]) -> bool:
    return kept == list(range(1, len(kept) + 1))


def test_a_project_moves_with_its_connections_network_and_volume(
    fleet: Fleet, project: Project
) -> None:
    before, heard = project.counting("a"), project.heard("a")

    there = fleet.workflow("migrate", project.name, "--to", "b")

    assert there.outcome is Outcome.MOVED, there.reason
    assert project.on("b") == set(project.containers)
    assert project.on("a") == set()
    assert project.connected("b")
    assert project.heard("b") > heard
    assert nothing_went_back(project.kept("b"))
    after = project.counting("b")
    assert all(was.lives_on_in(now) for was, now in zip(before, after, strict=True))
    for service in ("db", "client", "web"):
        assert project.finds_by_name("b", service)
    network = fleet.runtime("b").network(project.network)
    assert network.options["mtu"] == "1400"
    assert network.labels["com.docker.compose.project"] == project.name
    assert not fleet.runtime("a").network_exists(project.network)
    assert not fleet.runtime("a").volume_exists(project.volume)

    fleet.workflow("migrate", project.name, "--to", "a")

    assert project.connected("a")
    assert nothing_went_back(project.kept("a"))


def test_one_member_that_cannot_be_dumped_keeps_all_of_them(fleet: Fleet, project: Project) -> None:
    before = project.counting("a")
    member = project.counters[1].on("a")
    assert member is not None

    with fleet.criu_failing_for("a", member.id):
        back = fleet.workflow("migrate", project.name, "--to", "b", code=3)

    assert back.outcome is Outcome.RESUMED
    all_as_before(project, before)


def test_one_member_that_cannot_be_restored_brings_all_of_them_back(
    fleet: Fleet, project: Project
) -> None:
    before = project.counting("a")
    member = project.counters[1].on("a")
    assert member is not None

    with fleet.criu_failing_for("b", member.id):
        back = fleet.workflow("migrate", project.name, "--to", "b", "--fallback", "resume", code=3)

    assert back.outcome is Outcome.RESUMED
    all_as_before(project, before)


def all_as_before(project: Project, before: list) -> None:  # type: ignore[type-arg]
    assert project.on("a") == set(project.containers)
    assert project.on("b") == set()
    assert project.connected("a")
    assert nothing_went_back(project.kept("a"))
    after = project.counting("a")
    assert all(was.lives_on_in(now) for was, now in zip(before, after, strict=True))
    assert all(c.on("a").spec.restart.name == "always" for c in project.counters)  # type: ignore[union-attr]


def test_a_project_s_checkpoint_is_restored_as_one(fleet: Fleet, project: Project) -> None:
    before = project.counting("a")
    made = fleet.workflow("checkpoint", project.name)
    assert project.connected("a")

    restored = fleet.workflow("restore", made.checkpoint_id, "--to", "a", "--replace")

    assert restored.outcome is Outcome.RESTORED
    assert project.connected("a")
    after = project.counting("a")
    assert all(was.boot_id == now.boot_id for was, now in zip(before, after, strict=True))
    assert (
        "shares volumes"
        in fleet.workflow("restore", project.client, "--to", "a", "--replace", code=1).reason
    )


def test_a_project_s_incremental_checkpoint_is_restored_as_one(
    fleet: Fleet, project: Project
) -> None:
    before = project.counting("a")
    for _ in range(2):
        made = fleet.workflow("checkpoint", project.name, "--incremental")
    assert project.connected("a")
    assert [len(m["chain"]) for m in fleet.checkpoints(project.counters[0].name)] == [1, 0]

    restored = fleet.workflow("restore", made.checkpoint_id, "--to", "a", "--replace")

    assert restored.outcome is Outcome.RESTORED, restored.reason
    assert project.connected("a")
    assert [s.boot_id for s in project.counting("a")] == [s.boot_id for s in before]


def test_a_project_that_cannot_be_restored_starts_cold_with_its_volume(
    fleet: Fleet, project: Project
) -> None:
    heard = project.heard("a")

    with fleet.without_criu("b"):
        cold = fleet.workflow("migrate", project.name, "--to", "b", code=3)

    assert cold.outcome is Outcome.COLD
    assert project.on("b") == set(project.containers)
    assert project.connected("b")
    assert project.kept("b")[: heard - 1] == list(range(1, heard))
    assert project.on("a") == set()


def test_a_member_that_moves_alone_is_told_of_the_others(fleet: Fleet, project: Project) -> None:
    asked = fleet.client.preflight(project.counters[0].name, to="b")
    fleet.client.wait(asked.id, timeout_seconds=60)
    found = {finding.code: finding for finding in fleet.client.findings(asked.id)}
    assert f"podferry migrate {project.name}" in found["project"].cure
