"""What earlier releases wrote is read as it was meant."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore
from fakeredis import FakeRedis
from pydantic import BaseModel

from runtime import Canary, RunSpec
from storage import UNENCRYPTED, ArchiveStore, KeyFile, MemoryObjectStore, Pins, open_objects
from tasks.app import make_app
from tasks.context import Context
from tasks.drains.models import Drain
from tasks.drains.records import Drains
from tasks.evictions import Eviction
from tasks.facts import source_facts
from tasks.hosts import Cordon, HostReport
from tasks.models import Inventory, Outcome, Unit, WorkerInfo, Workflow
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedule import Schedule
from tasks.schedules import Schedules
from tasks.stored import load
from tasks.units.build import BuildRequest
from tests.golden.files import SETS, loaded

KINDS: dict[str, type[BaseModel]] = {
    r"podferry:workflow:.*": Workflow,
    r"podferry:drain:.*": Drain,
    r"podferry:schedule:.*": Schedule,
    r"podferry:payload:up-.*": RunSpec,
    r"podferry:payload:build-.*": BuildRequest,
    r"podferry:evictions:.*": Eviction,
    "podferry:workers": WorkerInfo,
    "podferry:inventories": Inventory,
    "podferry:ran": Inventory,
    "podferry:canaries": Canary,
    "podferry:hosts": HostReport,
    "podferry:cordons": Cordon,
}


@pytest.fixture(params=sorted(SETS.iterdir()), ids=lambda place: str(place.name))
def place(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def redis(place: Path) -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    loaded(client, json.loads((place / "redis.json").read_text()))
    yield client
    client.close()


def kind_of(key: str) -> type[BaseModel] | None:
    return next((kind for name, kind in KINDS.items() if re.fullmatch(name, key)), None)


def keeps(told: object, again: object) -> bool:
    """Whether all that was told is told again, whatever a newer version adds."""
    if isinstance(told, dict) and isinstance(again, dict):
        return all(name in again and keeps(value, again[name]) for name, value in told.items())
    if isinstance(told, list) and isinstance(again, list):
        return len(told) == len(again) and all(map(keeps, told, again))
    return told == again


def test_this_version_has_a_set() -> None:
    assert (SETS / version("podferry")).is_dir(), "add it right before a release: see tests.golden"


def test_every_record_is_read_and_nothing_of_it_is_lost(place: Path) -> None:
    content = json.loads((place / "redis.json").read_text())
    records = [*content["string"].items()]
    records += [(key, text) for key, told in content["hash"].items() for text in told.values()]
    read = set()
    for key, text in records:
        kind = kind_of(key)
        if kind is not None:
            again = load(kind, key, text.encode()).model_dump(mode="json")
            assert keeps(json.loads(text), again), key
            read.add(kind)
    assert read == set(KINDS.values())


def test_the_records_mean_what_they_meant(redis: FakeRedis) -> None:
    records, registry, drains = Records(redis), Registry(redis), Drains(redis)
    found = {w.id: w for w in records.recent(50)}
    assert {w.outcome for w in found.values()} == {
        *(Outcome.MOVED, Outcome.COLD, Outcome.UNTOUCHED),
        None,
    }
    moved = next(w for w in found.values() if w.outcome is Outcome.MOVED)
    assert source_facts(moved).members[0].name == moved.workload
    assert moved.done(Unit.RESTORE) is not None
    assert list(records.events(moved.id, wait_seconds=0))
    refused = next(w for w in found.values() if w.outcome is Outcome.UNTOUCHED)
    assert refused.failed_step is not None
    assert refused.failed_step.error is not None
    assert {f.code for f in refused.failed_step.error.findings} >= {"name-in-use"}
    assert len(records.live()) == 3
    [drain] = drains.recent()
    assert {item.workload for item in drain.items} == {"one", "two"}
    assert [s.name for s in Schedules(redis).all()] == ["s1", "s2", "s3"]
    assert len(records.evictions.of("c")) == 2
    hosts = {status.host: status for status in registry.hosts()}
    assert not any(status.error for status in hosts.values())
    assert hosts["c"].labels == {"zone": "c", "disk": "ssd"}
    assert hosts["a"].cordon is not None


def test_messages_are_understood(place: Path, redis: FakeRedis) -> None:
    archives = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
    app = make_app("memory://", Context(records=Records(redis), archives=archives))
    over = next(w for w in Records(redis).recent(50) if w.outcome is Outcome.MOVED)
    for message in json.loads((place / "messages.json").read_text()):
        links = [message, *message["embed"]["chain"]]
        for link in links:
            kwargs: dict[str, Any] = {**link["kwargs"], "workflow_id": over.id, "epoch": 99}
            with pytest.raises(Ignore):  # it is over: the message was understood
                app.tasks[link["task"]](**kwargs)
        for failed in message["embed"]["errbacks"]:
            app.tasks[failed["task"]](**{**failed["kwargs"], "workflow_id": over.id})
    app.close()


def test_checkpoints_are_read_to_the_byte(place: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "keys.json"
    shutil.copy(place / "keys.json", key_file)
    key_file.chmod(0o600)  # which git does not keep
    archives = ArchiveStore(open_objects((place / "store").as_uri()), keys=KeyFile(key_file))
    told = json.loads((place / "store.json").read_text())
    for checkpoint_id, digest in told["checkpoints"].items():
        whole = b"".join(archives.read_checkpoint(archives.manifest(checkpoint_id)))
        assert hashlib.sha256(whole).hexdigest() == digest
    found = archives.checkpoints()
    assert {manifest.id for manifest in found} == told["checkpoints"].keys()
    assert any(manifest.parent for manifest in found)
    assert [group.id for group in archives.groups()] == told["groups"]
    assert archives.image("sha256:" + "b" * 64) is not None
    pins = [Pins(archives.objects).get(manifest.id) for manifest in found]
    assert [pin.reason for pin in pins if pin] == ["golden"]
