"""Workers of two versions side by side: moves go on across an upgrade, and between the two."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from podferry import Outcome, State
from tests.fleet import Fleet, Workload, eventually
from tests.lab import lab
from tests.versions import ADDED, TOMORROW, install, others, program

pytestmark = pytest.mark.integration

NODES = {"hub", "a", "b"}


class Mixed(Fleet):
    """A fleet some of whose workers are of another version."""

    def switch(self, wheel: Path | None, nodes: set[str]) -> None:
        """Start all workers anew, those of ``nodes`` in the other version."""
        self.lab.call("workers", "stop")
        if not (self.other / "start.py").exists():
            install(wheel, self.other)
        self.nodes.write_text("".join(f"{node}\n" for node in sorted(nodes)))
        self.start_workers()

    @property
    def other(self) -> Path:
        return self.lab.dir / "other"

    @property
    def nodes(self) -> Path:
        return self.other / "nodes"

    def versions(self) -> dict[str, str]:
        """The version of each node's worker that lives."""
        return {i.host or "hub": i.version for i, alive in self.client.workers() if alive}

    def passed_over(self, host: str, workflow_id: str) -> bool:
        """Whether the control worker said that it does not know what this host added."""
        reason = f"{host}: it may not state {ADDED}"
        lines = [line for line in self.client.logs(workflow_id) if not line.host]
        return any(line.fields.get("reason") == reason for line in lines)


@pytest.fixture(scope="module")
def mixed() -> Iterator[Mixed]:
    with lab(("a", "b")) as made:
        (made.dir / "other").mkdir()
        (made.dir / "other" / "nodes").touch()
        there = program(made.dir / "other", made.dir / "other" / "nodes")
        fleet = Mixed(made, program=[str(there)])
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.close()


@pytest.mark.parametrize("name", others())
def test_moves_go_on_between_two_versions(mixed: Mixed, name: str) -> None:
    wheel = others()[name]
    theirs = TOMORROW if wheel is None else wheel.name.split("-")[1]
    workload = Workload(mixed, name.replace(".", "-"))
    state = workload.start(workload.spec(volume=True))
    parked = mixed.client.migrate(workload.name, selector={"side": name})
    eventually(lambda: mixed.client.status(parked.id).not_before, "it is not parked")

    mixed.switch(wheel, {"hub"})
    assert mixed.versions() == {"hub": theirs, "a": version("podferry"), "b": version("podferry")}
    mixed.client.label("b", {"side": name})
    ended = mixed.client.wait(parked.id, timeout_seconds=120)
    assert (ended.outcome, ended.target) == (Outcome.MOVED, "b")
    assert state.lives_on_in(workload.counting("b"))
    if (
        wheel is None
    ):  # what its control worker put there stood every change by this version's hosts
        assert ADDED in (ended.model_extra or {})
        assert all(ADDED in (step.model_extra or {}) for step in ended.steps)

    mixed.switch(wheel, {"a"})
    assert mixed.versions()["a"] == theirs
    for target in ("a", "b"):  # one reads what the other wrote
        moved = mixed.workflow("migrate", workload.name, "--to", target)
        assert moved.outcome is Outcome.MOVED
        assert not any("cannot be read" in e.message for e in mixed.client.history(moved.id))
    assert state.lives_on_in(workload.counting("b"))
    assert workload.absent("a")
    if wheel is None:  # what a states besides is passed over, not the rest
        eventually(lambda: mixed.passed_over("a", moved.id), "nobody passed anything over")

    mixed.switch(wheel, set())
    assert not [w for w in mixed.client.recent() if w.state is not State.ENDED]
    workload.forget()
    shutil.rmtree(mixed.other / "podferry")
    (mixed.other / "start.py").unlink()
