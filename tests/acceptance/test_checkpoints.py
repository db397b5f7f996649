"""``podferry checkpoints`` on a store with checkpoints in it; no host is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import ArchiveStore, CheckpointManifest
from tasks.models import now
from tests.acceptance.typing_in import Done, Run, complaint
from tests.services import redis_server
from tests.unit.runtime.test_exported import tar
from tests.unit.storage.samples import SECRET, noise, store_checkpoint, store_group
from workers.settings import Settings

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)
PATIENCE_SECONDS = 60.0
PODFERRY = str(Path(sys.executable).with_name("podferry"))
RAW = noise(300_000)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@dataclass(frozen=True)
class Place:
    """A store with checkpoints of `web`, newest first, and how to type commands at it."""

    type: Run
    environment: dict[str, str]
    archives: ArchiveStore
    web: list[CheckpointManifest]

    def run(self, *words: str) -> Done:
        return self.type("checkpoints", *words, **self.environment)

    def succeed(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout

    def json(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.succeed(*words, "-o", "json"))

    def ids(self) -> list[str]:
        return [manifest.id for manifest in self.archives.checkpoints()]


@pytest.fixture
def place(podferry: Run, redis_url: str, tmp_path: Path) -> Place:
    environment = {
        "PODFERRY_ENVIRONMENT": "dev",
        "PODFERRY_REDIS_URL": redis_url,
        "PODFERRY_STORE_URL": (tmp_path / "store").as_uri(),
        "PODFERRY_ENCRYPTION": "off",
    }
    archives = Settings(store_url=environment["PODFERRY_STORE_URL"], encryption="off").archives()
    web = [store_checkpoint(archives, data=RAW, created=now() - n * DAY) for n in range(3)]
    return Place(type=podferry, environment=environment, archives=archives, web=web)


def test_alone_it_lists(place: Place) -> None:
    assert [line["id"] for line in place.json()] == place.ids()
    assert [line["id"] for line in place.json("ls", "web")] == place.ids()
    assert place.json("ls", "other") == []
    table = place.succeed("ls")
    assert all(manifest.id in table for manifest in place.web)


def test_yaml_says_what_json_says(place: Place) -> None:
    text = place.succeed("ls", "-o", "yaml")
    assert text.count("- version: ") == len(place.web)
    assert f"  workload: {place.web[0].workload}" in text


def test_show_tells_all_but_secrets(place: Place) -> None:
    newest = place.web[0]
    shown = place.json("show", newest.id)
    assert shown["image"]["name"] == newest.image.name
    assert shown["pin"] is None
    assert newest.image.name in place.succeed("show", newest.id)
    for output in ("table", "json", "yaml"):
        assert SECRET not in place.succeed("show", newest.id, "-o", output)
        assert SECRET not in place.succeed("ls", "-o", output)
    assert "podferry checkpoints" in complaint(place.run("show", "web/20260101T000000Z-000000"))


def test_verify_says_ok_or_what_is_damaged(place: Place) -> None:
    whole, damaged = place.web[:2]
    for info in place.archives.objects.list(f"checkpoints/{damaged.id}/"):
        if "/parts/" in info.key:
            data = bytearray(place.archives.objects.get(info.key))
            data[len(data) // 2] ^= 1
            place.archives.objects.put(info.key, data)

    assert f"{whole.id}: OK" in place.succeed("verify", whole.id)
    assert place.json("verify", whole.id) == {"id": whole.id, "ok": True, "bytes": len(RAW)}
    assert "is damaged" in complaint(place.run("verify", damaged.id))
    done = place.run("verify", damaged.id, "-o", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False


def test_export_to_a_file_and_to_a_pipe(place: Place, tmp_path: Path) -> None:
    checkpoint, path = place.web[0].id, tmp_path / "web.tar"
    place.succeed("export", checkpoint, str(path))
    assert path.read_bytes() == RAW
    assert "--overwrite" in complaint(place.run("export", checkpoint, str(path)))
    place.succeed("export", checkpoint, str(path), "--overwrite")
    assert "cannot write" in complaint(place.run("export", checkpoint, "/nonexistent/web.tar"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PODFERRY_")}
    piped = subprocess.run(
        [PODFERRY, "checkpoints", "export", checkpoint, "-"],
        capture_output=True,
        check=True,
        env={**clean, **place.environment},
    )
    assert piped.stdout == RAW


def test_import_and_export_give_the_tar_back(place: Place, tmp_path: Path) -> None:
    source, copy = tmp_path / "in.tar", tmp_path / "out.tar"
    source.write_bytes(tar())
    made = place.succeed("import", str(source), "--workload", "copy").strip()
    assert made.startswith("copy/")
    assert place.json("show", made)["imported"]["container"] == "web"
    assert "not known" in place.succeed("show", made)
    place.succeed("export", made, str(copy))
    assert copy.read_bytes() == tar()


def test_import_of_something_else_is_one_clear_line(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"#!/bin/sh\n" * 1000)
    line = complaint(place.run("import", str(other), "--workload", "web"))
    assert "is no checkpoint" in line
    assert "podman container checkpoint --export" in line
    missing = str(tmp_path / "missing")
    assert "cannot read" in complaint(place.run("import", missing, "--workload", "web"))
    assert len(place.ids()) == 3


def test_pins_hold_against_rm_and_prune(place: Place) -> None:
    newest, oldest = place.web[0].id, place.web[-1].id
    place.succeed("pin", oldest, "--reason", "audit")
    assert "pinned" in place.succeed("ls")
    assert place.json("show", oldest)["pin"]["reason"] == "audit"
    line = complaint(place.run("rm", oldest, "--yes"))
    assert "pinned (audit)" in line
    assert f"podferry checkpoints unpin {oldest}" in line
    place.succeed("prune", "--keep-last", "1")
    assert place.ids() == [newest, oldest]
    place.succeed("unpin", oldest)
    place.succeed("prune", "--keep-last", "1")
    assert place.ids() == [newest]


def test_rm_asks_first(place: Place) -> None:
    newest, middle, oldest = (manifest.id for manifest in place.web)
    assert "--yes" in complaint(place.run("rm", middle))
    assert len(place.ids()) == 3
    place.succeed("rm", middle, oldest, "--yes")
    assert place.ids() == [newest]


def test_prune_rehearses_and_says_what_it_did(place: Place) -> None:
    newest, middle, oldest = (manifest.id for manifest in place.web)
    rehearsed = place.json("prune", "--keep-within", "36h", "--dry-run")
    assert [(e["id"], e["reason"]) for e in rehearsed["removed"]] == [(oldest, "expired")]
    assert {(e["id"], e["reason"]) for e in rehearsed["kept"]} == {
        (newest, "newest"),
        (middle, "keep-within"),
    }
    assert len(place.ids()) == 3
    assert "would go" in place.succeed("prune", "--keep-within", "36h", "--dry-run")
    assert "freed" in place.succeed("prune", "--keep-within", "36h")
    assert place.ids() == [newest, middle]
    done = place.run("prune", "--max-bytes", "1k")
    assert done.returncode == 0
    assert "more than allowed" in done.stderr
    assert place.ids() == [newest]


def test_prune_goes_by_the_settings_too(place: Place) -> None:
    place.environment["PODFERRY_RETENTION_KEEP_LAST"] = "2"
    assert len(place.json("prune")["removed"]) == 1
    assert len(place.json("prune", "--keep-last", "1")["removed"]) == 1


def test_a_control_worker_prunes_by_itself(place: Place) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PODFERRY_")}
    settings = {"PODFERRY_RETENTION_KEEP_LAST": "1", "PODFERRY_RETENTION_EVERY": "1s"}
    with subprocess.Popen(
        [PODFERRY, "worker", "--control"],
        env={**clean, **place.environment, **settings},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as worker:
        try:
            limit = time.monotonic() + PATIENCE_SECONDS
            while place.ids() != [place.web[0].id]:
                assert worker.poll() is None
                assert time.monotonic() < limit, "nothing was pruned"
                time.sleep(0.1)
        finally:
            worker.terminate()
            _, log = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 0, log
    assert f"removed checkpoint {place.web[1].id} (expired)" in log
    assert "Traceback" not in log


def test_a_group_is_handled_as_one(place: Place, tmp_path: Path) -> None:
    new, old = (
        store_group(place.archives, "shop", "db", "api", created=now() - n * DAY) for n in range(2)
    )
    listed = place.json("ls", "shop")
    assert [(line["id"], line["members"]) for line in listed] == [
        (group.id, list(group.members)) for group in (new, old)
    ]
    assert "2 containers" in place.succeed("ls")
    assert place.json("show", old.id)["kind"] == "project"
    assert all(member in place.succeed("show", old.id) for member in old.members)
    assert f"{old.id}: OK" in place.succeed("verify", old.id)
    refused = complaint(place.run("export", old.id, str(tmp_path / "shop.tar")))
    assert old.members[0] in refused
    place.succeed("pin", old.id)
    assert place.json("show", old.id)["pin"]
    place.succeed("unpin", old.id)
    assert f"rm {old.id}" in complaint(place.run("rm", old.members[0], "--yes"))
    place.succeed("rm", old.id, "--yes")
    assert place.archives.groups() == [new]
    assert not set(old.members) & set(place.ids())
