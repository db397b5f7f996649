"""Checkpoints that are kept in the store, and what is made of them later."""

from __future__ import annotations

import pytest

from podferry import Outcome, Workflow
from tests.fleet import Fleet, Workload, ended

pytestmark = pytest.mark.integration

FLIP_A_BYTE = """
import sys
from storage import open_objects
from workers.settings import load_settings
settings = load_settings()
objects = open_objects(
    settings.store_url,
    access_key=settings.store_access_key.get_secret_value(),
    secret_key=settings.store_secret_key.get_secret_value(),
)
found = (info.key for info in objects.list(f"checkpoints/{sys.argv[1]}/"))
parts = sorted(key for key in found if "/parts/" in key)
data = bytearray(objects.get(parts[-1]))
data[len(data) // 2] ^= 1
objects.put(parts[-1], bytes(data))
objects.close()
"""


def test_checkpoint_leaves_the_container_running_and_can_be_restored_elsewhere(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(volume=True))

    taken = fleet.workflow("checkpoint", workload.name)

    assert taken.outcome is Outcome.CHECKPOINTED
    assert before.lives_on_in(workload.counting("a"))
    [listed] = fleet.checkpoints(workload.name)
    assert listed["id"] == taken.checkpoint_id
    assert listed["host"] == "a"

    line = fleet.refused("restore", workload.name, "--to", "b")
    assert "runs on 'a'; a second copy is refused" in line
    line = fleet.refused("restore", workload.name, "--to", "a")
    assert "add --replace" in line
    assert before.lives_on_in(workload.counting("a"))

    workload.forget()
    restored = fleet.workflow("restore", taken.checkpoint_id, "--to", "b")

    assert restored.outcome is Outcome.RESTORED
    assert before.lives_on_in(workload.counting("b"))
    assert workload.absent("a")


def test_replace_puts_the_checkpoint_in_the_place_of_what_is_there(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(volume=True))
    workload.sh("a", "echo then >/data/when")
    _stop_with_checkpoint(fleet, workload)
    workload.forget()
    other = workload.start(workload.spec(volume=True))
    workload.sh("a", "echo now >/data/when")
    assert other.boot_id != before.boot_id

    restored = fleet.workflow("restore", workload.name, "--to", "a", "--replace")

    assert restored.outcome is Outcome.RESTORED
    assert before.lives_on_in(workload.counting("a"))
    assert workload.sh("a", "cat /data/when") == "then\n"


def test_damaged_archive_is_not_restored(fleet: Fleet, workload: Workload) -> None:
    workload.start(workload.spec(memory_mib=32, volume=True))
    taken = _stop_with_checkpoint(fleet, workload)
    fleet.python(FLIP_A_BYTE, taken.checkpoint_id)

    done = fleet.run("restore", workload.name, "--to", "b", "-o", "json")

    failed = ended(done, 1)
    assert failed.outcome is Outcome.FAILED
    assert "is damaged" in failed.reason
    assert "was changed or cut" in failed.reason
    [line] = [line for line in done.stderr.splitlines() if "✗" in line]
    assert "restore on b" in line
    assert workload.absent("b")
    found = workload.on("a")
    assert found is not None
    assert found.checkpointed


def _stop_with_checkpoint(fleet: Fleet, workload: Workload) -> Workflow:
    taken = fleet.workflow("checkpoint", workload.name, "--stop")
    assert taken.outcome is Outcome.CHECKPOINTED
    found = workload.on("a")
    assert found is not None
    assert found.state == "exited"
    return taken
