"""What workflows between real hosts leave to look at, and to ask again."""

from __future__ import annotations

import json

import pytest

from podferry import Event, EventType, Outcome, State, Unit
from runtime import VolumeSpec
from tests.fleet import Fleet, Workload

pytestmark = pytest.mark.integration


def test_a_refused_move_is_asked_again_once_nothing_is_in_its_way(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(volume=True))
    fleet.runtime("b").create_volume(VolumeSpec(name=workload.volume))
    refused = fleet.workflow("migrate", workload.name, "--to", "b", code=1)
    assert refused.outcome is Outcome.UNTOUCHED
    fleet.runtime("b").remove_volume(workload.volume)

    moved = fleet.workflow("retry", refused.id)

    assert moved.outcome is Outcome.MOVED, moved.reason
    assert (moved.source, moved.target) == ("a", "b")
    assert moved.checkpoint_id != refused.checkpoint_id
    assert before.lives_on_in(workload.counting("b"))
    assert "ended as asked" in fleet.refused("retry", moved.id)
    listed = fleet.client.recent(workload=workload.name, host="b", state=State.ENDED)
    assert [w.id for w in listed] == [moved.id, refused.id]


def test_a_move_that_fell_back_can_be_looked_at_afterwards(
    fleet: Fleet, workload: Workload
) -> None:
    workload.start()
    with fleet.without_criu("b"):
        cold = fleet.workflow("migrate", workload.name, "--to", "b", code=3)

    shown = fleet.run("status", cold.id).stdout
    watched = fleet.run("watch", cold.id)
    record = json.loads(fleet.run("status", cold.id, "-o", "json").stdout)

    drawn = {line.split()[0]: line for line in shown.splitlines() if "━" in line or "✗" in line}
    assert drawn["restore"].index("━") < drawn["checkpoint"].rindex("━")  # it reads along
    assert "✗" in drawn["restore"]
    assert "━" in drawn["up"]
    assert "↺" in shown
    assert watched.returncode == 3
    assert "✗ restore on b" in watched.stderr
    events = [Event.model_validate(event) for event in record["events"]]
    assert (EventType.DONE, Unit.UP) in [(event.type, event.unit) for event in events]
    assert events[-1].type is EventType.ENDED
