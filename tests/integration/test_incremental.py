"""Incremental checkpoints of real processes, and moves that send most of the memory ahead."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from podferry import Outcome, Unit
from tests.fleet import Fleet, State, Workload, eventually, stored_bytes

pytestmark = pytest.mark.integration

MEMORY_MIB = 128


def spool_files(fleet: Fleet) -> list[Path]:
    spool = fleet.lab.dir / "workers" / "spool"
    return [path for path in spool.rglob("*") if path.is_file()]


def chain_of(fleet: Fleet, workload: Workload, length: int) -> list[dict[str, Any]]:
    """Take so many incremental checkpoints; return their records, oldest first."""
    for number in range(length):
        if number:
            workload.sh("a", f"echo {number} >>/data/file; echo {number} >/changed")
        taken = fleet.workflow("checkpoint", workload.name, "--incremental")
        assert taken.outcome is Outcome.CHECKPOINTED
    return fleet.checkpoints(workload.name)[::-1]


def test_what_changed_is_stored_and_the_whole_comes_back_elsewhere(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(memory_mib=MEMORY_MIB, volume=True))

    first, second, third = chain_of(fleet, workload, 3)

    assert before.lives_on_in(workload.counting("a"))
    assert [m["parent"] for m in (first, second, third)] == [None, first["id"], second["id"]]
    sizes = [m["archive"]["size"] + m["pages"]["index"]["size"] for m in (first, second, third)]
    assert sizes[0] > MEMORY_MIB << 20
    assert max(sizes[1:]) < 0.15 * sizes[0]
    done = fleet.run("checkpoints", "verify", third["id"])
    assert done.returncode == 0, done.stderr

    workload.forget()
    restored = fleet.workflow("restore", third["id"], "--to", "b")

    assert restored.outcome is Outcome.RESTORED
    assert before.lives_on_in(workload.counting("b"))
    assert workload.sh("b", "cat /data/file /changed") == "1\n2\n2\n"


def test_an_exported_one_is_a_plain_tar_for_podman(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(volume=True))
    *_, last = chain_of(fleet, workload, 3)
    workload.forget()

    name = f"podferry-{secrets.token_hex(4)}.tar"
    here = fleet.lab.dir / "hosts" / "b" / "run" / name
    try:
        done = fleet.run("checkpoints", "export", last["id"], str(here))
        assert done.returncode == 0, done.stderr
        words = ("container", "restore", "--tcp-established", "--import", f"/run/podman/{name}")
        done = fleet.lab.enter("b", "podman", *words)
        assert done.returncode == 0, done.stderr
    finally:
        here.unlink(missing_ok=True)

    assert before.lives_on_in(workload.counting("b"))
    assert workload.sh("b", "cat /data/file /changed") == "1\n2\n2\n"


def test_no_removal_takes_what_another_one_needs(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(labels={"podferry.keep-last": "1"}, volume=True))
    first, second, third, fourth = chain_of(fleet, workload, 4)

    for needed, child in ((first, second), (second, third)):
        line = fleet.refused("checkpoints", "rm", "--yes", needed["id"])
        assert f"{child['id']} cannot be read without it" in line
    done = fleet.run("checkpoints", "rm", "--yes", fourth["id"])
    assert done.returncode == 0, done.stderr
    done = fleet.run("checkpoints", "prune", "-o", "json")
    assert done.returncode == 0, done.stderr

    assert {m["id"] for m in fleet.checkpoints(workload.name)} == {
        *(first["id"], second["id"], third["id"]),
    }
    workload.forget()
    fleet.workflow("restore", third["id"], "--to", "b")
    assert before.lives_on_in(workload.counting("b"))
    assert workload.sh("b", "cat /data/file") == "1\n2\n"


def test_a_move_that_sends_ahead_brings_all_of_the_memory(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(memory_mib=MEMORY_MIB, volume=True))
    workload.sh("a", "echo kept >/data/file; echo changed >/etc/changed")

    moved = fleet.workflow("migrate", workload.name, "--to", "b", "--preseed")

    assert moved.outcome is Outcome.MOVED
    after: State = workload.counting("b")
    assert before.lives_on_in(after)
    assert workload.absent("a")
    assert workload.sh("b", "cat /data/file /etc/changed") == "kept\nchanged\n"
    assert stored_bytes(moved, Unit.PRESEED) > MEMORY_MIB << 20
    assert stored_bytes(moved, Unit.PREFETCH) > MEMORY_MIB << 20
    assert stored_bytes(moved, Unit.CHECKPOINT) < 0.15 * stored_bytes(moved, Unit.PRESEED)
    assert spool_files(fleet) == []
    [listed] = fleet.checkpoints(workload.name)
    assert listed["parent"] is None
    assert fleet.run("checkpoints", "verify", listed["id"]).returncode == 0


def test_a_move_that_fails_after_it_sent_ahead_loses_nothing(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(volume=True))

    with fleet.without_criu("b"):
        words = ("migrate", workload.name, "--to", "b", "--preseed", "--fallback", "resume")
        ended = fleet.workflow(*words, code=3)

    assert ended.outcome is Outcome.RESUMED
    assert before.lives_on_in(workload.counting("a"))
    assert workload.absent("b")
    assert spool_files(fleet) == []


def test_a_schedule_takes_checkpoints_until_it_is_ended(fleet: Fleet, workload: Workload) -> None:
    before = workload.start()
    fleet.workflow("checkpoint", workload.name, "--every", "10s")

    def two() -> list[dict[str, Any]] | None:
        found = fleet.checkpoints(workload.name)
        return found if len(found) >= 2 else None

    try:
        newer, older, *_ = eventually(two, "two checkpoints")
        listed = json.loads(fleet.run("checkpoints", "schedules", "-o", "json").stdout)
    finally:
        done = fleet.run("checkpoint", workload.name, "--every", "off")

    assert done.returncode == 0, done.stderr
    assert newer["parent"] == older["id"]
    [schedule] = [s for s in listed if s["workload"] == workload.name]
    assert schedule["last"].startswith("checkpoint-")
    assert before.lives_on_in(workload.counting("a"))
    assert "has no schedule" in fleet.refused("checkpoint", workload.name, "--every", "off")
    eventually(lambda: not busy(fleet, workload), "the last checkpoint ends")


def busy(fleet: Fleet, workload: Workload) -> bool:
    recent = fleet.client.recent(100)
    return any(w.workload == workload.name and w.outcome is None for w in recent)
