"""Requests that cannot work: one clear line, and the container goes on as it was."""

from __future__ import annotations

import pytest

from podferry import Outcome
from tests.fleet import Fleet, Workload, ended

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("migrate", "no-such", "--to", "b"), "unknown container 'no-such'"),
        (("migrate", "../web", "--to", "b"), "unknown container '../web'"),
        (("checkpoint", "no-such"), "unknown container 'no-such'"),
        (("restore", "no/such/../checkpoint"), "no checkpoint found for no/such/../checkpoint"),
        (("up", "counter", "--name", "not a name", "--host", "a"), "name: String should match"),
        (("cancel", "no-such"), "no workflow 'no-such'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_request_about_nothing_is_refused(
    fleet: Fleet, words: tuple[str, ...], reason: str
) -> None:
    assert reason in fleet.refused(*words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--to", "nowhere"), "unknown host 'nowhere' (known hosts: a, b)"),
        (("--to", "Not A Host"), "unknown host 'Not A Host' (known hosts: a, b)"),
        (("--to", "a"), "is on host 'a' already"),
        (("--to", "b", "--from", "b"), "unknown container"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_migration_to_nowhere_is_refused(
    fleet: Fleet, running: Workload, words: tuple[str, ...], reason: str
) -> None:
    before = running.counting("a")

    assert reason in fleet.refused("migrate", running.name, *words)

    assert before.lives_on_in(running.counting("a"))
    assert running.absent("b")


def test_stopped_container_is_not_moved(fleet: Fleet, workload: Workload) -> None:
    workload.start()
    fleet.runtime("a").stop(workload.name)

    _not_moved(fleet, workload, "it is exited, and only a running container has memory to move")

    assert workload.on("a") is not None


def test_container_that_vanishes_when_it_stops_is_not_moved(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(auto_remove=True))

    _not_moved(fleet, workload, "it was made with --rm")

    assert before.lives_on_in(workload.counting("a"))


def _not_moved(fleet: Fleet, workload: Workload, reason: str) -> None:
    done = fleet.run("migrate", workload.name, "--to", "b", "-o", "json")
    untouched = ended(done, 1)
    assert untouched.outcome is Outcome.UNTOUCHED
    assert reason in untouched.reason
    [line] = [line for line in done.stderr.splitlines() if line.strip()]
    assert reason in line
    assert workload.absent("b")
