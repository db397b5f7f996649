"""What somebody gets who may write to the bucket, and has no key: nothing is restored from it.

The hosts are fakes; the store, the workers and what they read are real. The store is changed after
the operator has looked, who saw it whole, and before the worker restores from it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podferry import Client, Outcome, Settings
from storage import (
    ArchiveStore,
    Key,
    StaticKeyring,
    StorageError,
    new_archive_prefix,
    open_objects,
)
from storage.keys import UNENCRYPTED, Keyring
from tests.fleet import WAIT_SECONDS, eventually
from tests.many.installation import Installation, installation
from workers.settings import load_settings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    """Hosts a and b, and a control worker, in production."""
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True) as name,
        installation(Path(name), "ab", secured=True) as found,
    ):
        found.await_workers()
        yield found


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The installation's store, with a checkpoint of ``web`` and another workload's."""

    store: Path
    web: str
    other: str

    def of(self, checkpoint: str) -> Path:
        """Where a checkpoint's objects lie."""
        return self.store / "checkpoints" / checkpoint

    def only(self, checkpoint: str, pattern: str) -> Path:
        """The one object of a checkpoint that is called like this."""
        (found,) = self.of(checkpoint).glob(pattern)
        return found


def checkpointed(made: Installation, name: str) -> str:
    """A container's checkpoint; the container is gone."""
    made.hosts.run("a", name).files["data"] = os.urandom(100_000)
    eventually(lambda: told(made, name), f"{name} is not told of")
    workflow = made.client.checkpoint(name)
    ended = made.client.wait(workflow.id, timeout_seconds=WAIT_SECONDS)
    assert ended.outcome is Outcome.CHECKPOINTED, made.logs()
    with made.hosts.lock:
        made.hosts.runtimes["a"].remove(name, force=True)
    eventually(lambda: not told(made, name), f"{name} is still told of")
    return str(ended.checkpoint_id)


@pytest.fixture(scope="module")
def bucket(made: Installation) -> Bucket:
    """Two containers were checkpointed; both are gone."""
    taken = {name: checkpointed(made, name) for name in ("web", "other")}
    return Bucket(store=made.directory / "store", **taken)


def told(made: Installation, name: str) -> bool:
    return any(line.name == name for i in made.client.inventories() for line in i.containers)


@pytest.fixture
def operator(made: Installation, bucket: Bucket, tmp_path: Path) -> Iterator[Client]:
    """Sees the store as it was; what is done to it is undone in the end."""
    whole = tmp_path / "whole"
    shutil.copytree(bucket.store, whole)
    with Client(settings_for(whole, made.directory, made.admin_url)) as client:
        yield client
    shutil.rmtree(bucket.store)
    shutil.copytree(whole, bucket.store)


def settings_for(store: Path, directory: Path, redis_url: str) -> Settings:
    """Settings for a store of an installation in this directory."""
    return load_settings(
        environment="dev",
        redis_url=redis_url,
        store_url=f"file://{store}",
        key_file=str(directory / "keys.json"),
    )


def a_byte(bucket: Bucket) -> None:
    part = bucket.only(bucket.web, "*/parts/000000")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)


def the_end_cut_off(bucket: Bucket) -> None:
    part = bucket.only(bucket.web, "*/parts/000000")
    part.write_bytes(part.read_bytes()[:-100])


def a_part_of_another(bucket: Bucket) -> None:
    shutil.copy(
        bucket.only(bucket.other, "*/parts/000000"), bucket.only(bucket.web, "*/parts/000000")
    )


def the_archive_of_another(bucket: Bucket) -> None:
    prefix = bucket.only(bucket.web, "*/header.json").parent
    shutil.rmtree(prefix)
    shutil.copytree(bucket.only(bucket.other, "*/header.json").parent, prefix)


def the_manifest_of_another(bucket: Bucket) -> None:
    shutil.copy(
        bucket.only(bucket.other, "manifest.json"), bucket.only(bucket.web, "manifest.json")
    )


def the_manifest_of_another_renamed(bucket: Bucket) -> None:
    envelope = json.loads(bucket.only(bucket.other, "manifest.json").read_text())
    envelope["name"] = bucket.web
    bucket.only(bucket.web, "manifest.json").write_text(json.dumps(envelope))


def the_manifest_gone(bucket: Bucket) -> None:
    bucket.only(bucket.web, "manifest.json").unlink()


def forged(bucket: Bucket, keys: Keyring) -> None:
    """A whole checkpoint of the intruder's own in the place of ours, sealed with these keys."""
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as name:
        ours = settings_for(bucket.store, bucket.store.parent, "redis://127.0.0.1:1").archives()
        archives = ArchiveStore(open_objects(f"file://{name}"), keys=keys)
        archive = archives.write(new_archive_prefix(f"checkpoints/{bucket.web}"), [b"evil" * 1000])
        archives.publish(ours.manifest(bucket.web).model_copy(update={"archive": archive}))
        shutil.rmtree(bucket.of(bucket.web))
        shutil.copytree(Path(name) / "checkpoints" / bucket.web, bucket.of(bucket.web))


def forged_with_a_key_of_our_name(bucket: Bucket) -> None:
    name = json.loads(bucket.only(bucket.web, "manifest.json").read_text())["key_id"]
    forged(bucket, StaticKeyring(Key(id=name, created=datetime.now(UTC), secret=os.urandom(32))))


def forged_with_a_key_of_another_name(bucket: Bucket) -> None:
    forged(bucket, StaticKeyring(Key(id="own", created=datetime.now(UTC), secret=os.urandom(32))))


def forged_as_if_unencrypted(bucket: Bucket) -> None:
    forged(bucket, UNENCRYPTED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (a_byte, "was changed or cut"),
        (the_end_cut_off, "was changed or cut"),
        (a_part_of_another, "was changed or cut"),
        (the_archive_of_another, "it belongs to archive"),
        (the_manifest_of_another, "it belongs to checkpoint other/"),
        (the_manifest_of_another_renamed, "changed"),
        (the_manifest_gone, "no checkpoint"),
        (forged_with_a_key_of_our_name, "changed"),
        (forged_with_a_key_of_another_name, "key own"),
        (forged_as_if_unencrypted, "PODFERRY_ENCRYPTION=off"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_changed_in_the_bucket_is_not_restored_and_noted(
    made: Installation,
    bucket: Bucket,
    operator: Client,
    change: Callable[[Bucket], None],
    reason: str,
) -> None:
    change(bucket)
    workflow = operator.restore(bucket.web, to="b")
    ended = operator.wait(workflow.id, timeout_seconds=WAIT_SECONDS)
    assert ended.outcome is Outcome.FAILED
    assert reason in ended.reason
    assert made.hosts.places("web") == []
    lines = [
        json.loads(text)
        for text in (made.directory / "worker-b.log").read_text().splitlines()
        if text.startswith("{")
    ]
    (noted,) = [x for x in lines if (x.get("workflow"), x["event"]) == (ended.id, "step failed")]
    assert reason in noted["reason"]


@pytest.mark.parametrize("change", [the_manifest_of_another, forged_with_a_key_of_our_name])
def test_who_types_it_is_told_at_once(
    made: Installation, bucket: Bucket, operator: Client, change: Callable[[Bucket], None]
) -> None:
    change(bucket)
    assert bucket.web in {found.id for found in operator.checkpoints.ls("web")}
    with pytest.raises(StorageError, match=r"manifest|key"):
        made.client.restore(bucket.web, to="b")


def test_what_was_put_back_is_restored(
    made: Installation, bucket: Bucket, operator: Client
) -> None:
    workflow = operator.restore(bucket.web, to="b")
    ended = operator.wait(workflow.id, timeout_seconds=WAIT_SECONDS)
    assert ended.outcome is Outcome.RESTORED, made.logs()
    assert [host for host, _ in made.hosts.places("web")] == ["b"]
