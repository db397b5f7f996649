"""A host dies: what ran there comes up elsewhere, and its old copy is stopped when it is back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime import RestartPolicy
from tests.fleet import Fleet, Workload, eventually

pytestmark = pytest.mark.integration


def test_what_ran_on_a_dead_host_comes_up_elsewhere_and_runs_once(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(volume=True, restart=RestartPolicy(name="always")))
    fleet.workflow("checkpoint", workload.name)
    eventually(lambda: _runs(fleet, "a", workload.name), "host a never told of it")
    assert "is alive" in fleet.refused("heal", "a", "--fenced")

    fleet.kill_worker("a")
    # The machine is gone: its containers too, but nothing of that is told to anybody.
    fleet.runtime("a").stop(workload.name)
    with fleet.without("a"):
        eventually(lambda: not fleet.online("a"), "host a never went offline")
        assert "--fenced" in fleet.refused("heal", "a")
        [planned] = _healings(fleet, workload, "--dry-run", code=0)
        assert (planned["state"], planned["target"]) == ("planned", "b")
        [healed] = _healings(fleet, workload, "--fenced", code=None)

    assert healed["outcome"] == "restored", healed
    now = workload.counting("b")
    assert now.boot_id == before.boot_id
    assert now.counter >= before.counter
    assert now.intact

    fleet.runtime("a").start(workload.name)
    fleet.lab.call("workers", "start")
    eventually(lambda: fleet.online("a"), "host a never came back")
    old = workload.on("a")
    assert old is not None
    assert old.state == "exited"
    assert old.spec.restart == RestartPolicy()
    assert workload.name in fleet.run("hosts").stdout
    # And it stays so, whoever starts it.
    fleet.runtime("a").start(workload.name)
    eventually(lambda: not _runs_now(workload, "a"), "the old copy went on")
    assert now.lives_on_in(workload.counting("b"))
    fleet.runtime("a").remove(workload.name, force=True)


def _healings(fleet: Fleet, workload: Workload, *flags: str, code: int | None) -> list[Any]:
    """What ``heal`` says of this workload; others of the run may have been there too."""
    done = fleet.run("heal", "a", *flags, "-o", "json")
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return [one for one in json.loads(done.stdout) if one["workload"] == workload.name]


def _runs(fleet: Fleet, host: str, name: str) -> bool:
    found = (line for i in fleet.client.inventories() if i.host == host for line in i.containers)
    return any(line.name == name and line.state == "running" for line in found)


def _runs_now(workload: Workload, host: str) -> bool:
    found = workload.on(host)
    return found is not None and found.state == "running"
