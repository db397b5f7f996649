"""Checkpoints that are kept in the store, and what is made of them later."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podferry import Outcome, Workflow
from tests.fleet import IMAGE, Fleet, Workload, ended

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


def test_an_exported_checkpoint_is_restored_by_podman_alone(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(volume=True))
    workload.sh("a", "echo kept >/data/file; echo changed >/etc/changed")
    taken = _stop_with_checkpoint(fleet, workload)
    workload.forget()

    done = fleet.run("checkpoints", "verify", taken.checkpoint_id)
    assert done.returncode == 0, done.stderr
    with _file_on(fleet, "b") as (here, there):
        done = fleet.run("checkpoints", "export", taken.checkpoint_id, here)
        assert done.returncode == 0, done.stderr
        _podman(fleet, "b", "container", "restore", "--tcp-established", "--import", there)

    assert before.lives_on_in(workload.counting("b"))
    assert workload.sh("b", "cat /data/file /etc/changed") == "kept\nchanged\n"


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_checkpoint_that_podman_exported_is_imported_and_restored(
    fleet: Fleet, workload: Workload, compression: str
) -> None:
    before = workload.start(workload.spec(volume=True, labels={"made": "by podman"}))
    workload.sh("a", "echo kept >/data/file")
    with _file_on(fleet, "a") as (here, there):
        export = ("container", "checkpoint", "--compress", compression, "--export", there)
        _podman(fleet, "a", *export, workload.name)
        workload.forget()
        done = fleet.run("checkpoints", "import", here, "--workload", workload.name)
    assert done.returncode == 0, done.stderr
    [listed] = fleet.checkpoints(workload.name)
    assert listed["id"] == done.stdout.strip()
    assert listed["volumes"] == [workload.volume]
    assert "--to HOST" in fleet.refused("restore", workload.name)

    restored = fleet.workflow("restore", workload.name, "--to", "b")

    assert restored.outcome is Outcome.RESTORED
    assert before.lives_on_in(workload.counting("b"))
    assert workload.sh("b", "cat /data/file") == "kept\n"
    found = workload.on("b")
    assert found is not None
    assert found.id == listed["container_id"]
    assert found.spec.labels["made"] == "by podman"


def test_an_imported_checkpoint_gets_the_name_that_was_asked_for(
    fleet: Fleet, new_workload: Callable[[str], Workload]
) -> None:
    original, copy = new_workload("original"), new_workload("copy")
    before = original.start()
    with _file_on(fleet, "a") as (here, there):
        _podman(fleet, "a", "container", "checkpoint", "--export", there, original.name)
        original.forget()
        done = fleet.run("checkpoints", "import", here, "--workload", copy.name)
    assert done.returncode == 0, done.stderr

    restored = fleet.workflow("restore", copy.name, "--to", "b")

    assert restored.outcome is Outcome.RESTORED
    assert before.lives_on_in(copy.counting("b"))
    assert original.on("b") is None


def test_what_is_no_checkpoint_is_refused_and_leaves_nothing(
    fleet: Fleet, workload: Workload, tmp_path: Path
) -> None:
    image = tmp_path / "image.tar"
    with fleet.runtime("a").save_image(IMAGE) as chunks, image.open("wb") as file:
        file.writelines(chunks)
    line = fleet.refused("checkpoints", "import", str(image), "--workload", workload.name)
    assert "is no checkpoint" in line
    assert fleet.checkpoints(workload.name) == []


def test_prune_spares_what_is_pinned_or_newest_and_what_it_left_restores(
    fleet: Fleet, workload: Workload
) -> None:
    workload.start(workload.spec(labels={"podferry.keep-last": "1"}))
    first, second, third = (fleet.workflow("checkpoint", workload.name) for _ in range(3))
    latest = workload.counting("a")
    assert fleet.run("checkpoints", "pin", first.checkpoint_id).returncode == 0

    done = fleet.run("checkpoints", "prune", "-o", "json")

    assert done.returncode == 0, done.stderr
    removed = [e["id"] for e in json.loads(done.stdout)["removed"] if e["kind"] == "checkpoint"]
    assert removed == [second.checkpoint_id]
    left = {line["id"] for line in fleet.checkpoints(workload.name)}
    assert left == {first.checkpoint_id, third.checkpoint_id}
    workload.forget()
    fleet.workflow("restore", first.checkpoint_id, "--to", "b")
    assert workload.counting("b").boot_id == latest.boot_id


@contextmanager
def _file_on(fleet: Fleet, host: str) -> Iterator[tuple[str, str]]:
    """A name for a new file: its path for Podferry, and for what runs inside the host."""
    name = f"podferry-{secrets.token_hex(4)}.tar"
    here = fleet.lab.dir / "hosts" / host / "run" / name
    try:
        yield str(here), f"/run/podman/{name}"
    finally:
        here.unlink(missing_ok=True)


def _podman(fleet: Fleet, host: str, *words: str) -> None:
    """The podman command line inside a host, without Podferry."""
    done = fleet.lab.enter(host, "podman", *words)
    assert done.returncode == 0, done.stderr
