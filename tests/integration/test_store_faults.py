"""Checkpoints on a store that fails: each ends well or with its typed error, none is half there."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tenacity import stop_after_delay, wait_none

from storage import (
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointManifest,
    ObjectStore,
    StorageError,
    StoreAccessError,
    StoreBusyError,
    StoreClockError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
    open_objects,
)
from storage.objects import Blob
from storage.s3 import _PATIENCE
from tests.certificates import make_certificate
from tests.faults import Fault, FaultyProxy, faulty_proxy
from tests.lab import missing
from tests.network import network_with_a_slow_loopback
from tests.services import S3Server, minio_server
from tests.unit.storage.samples import KEYS, noise, store_checkpoint

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
PART = 1 << 20
DATA = noise(8 * PART)
SLOW_DOWN = Fault(refuse=(503, "SlowDown"))
RESET_IN_PART = Fault(reset_request_at=PART // 3)
CUT_IN_PART = Fault(reset_answer_at=PART // 3)
MORE_THAN_PATIENCE = 20
SOME_PART = "parts/000003"


@pytest.fixture(scope="module")
def minio() -> Iterator[S3Server]:
    with minio_server() as server:
        yield server


@pytest.fixture
def mortal() -> Iterator[S3Server]:
    """A MinIO that a test may kill."""
    with minio_server() as server:
        yield server


@pytest.fixture
def proxy(minio: S3Server) -> Iterator[tuple[FaultyProxy, S3Server]]:
    with faulty_proxy(minio) as found:
        yield found


@pytest.fixture
def faults(proxy: tuple[FaultyProxy, S3Server]) -> FaultyProxy:
    return proxy[0]


@pytest.fixture
def bucket() -> str:
    return f"bucket-{secrets.token_hex(4)}"


@pytest.fixture
def objects(proxy: tuple[FaultyProxy, S3Server], bucket: str) -> Iterator[ObjectStore]:
    """A store that is reached through the proxy."""
    with opened(proxy[1], bucket) as store:
        store.check()
        yield store


@pytest.fixture
def archives(objects: ObjectStore) -> ArchiveStore:
    return on(objects)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.s3._PATIENCE", _PATIENCE.copy(wait=wait_none()))


@pytest.fixture
def long_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.s3._PATIENCE", _PATIENCE.copy(stop=stop_after_delay(90)))


@contextlib.contextmanager
def opened(server: S3Server, bucket: str, **options: Any) -> Iterator[ObjectStore]:  # noqa: ANN401
    with contextlib.closing(server.objects(bucket, **options)) as store:
        yield store


def on(objects: ObjectStore) -> ArchiveStore:
    return ArchiveStore(objects, keys=KEYS, part_bytes=PART, compression="none")


def content(archives: ArchiveStore, manifest: CheckpointManifest) -> bytes:
    return b"".join(archives.read(manifest.archive))


def receive(stream: Iterable[Blob], received: bytearray) -> None:
    for piece in stream:
        received += piece


def assert_only(objects: ObjectStore, kept: CheckpointManifest) -> None:
    """The one checkpoint is `kept`, whole, and no part of another takes up space."""
    archives = on(objects)
    assert archives.checkpoints() == [kept]
    assert content(archives, kept) == DATA
    keys = [info.key for info in objects.list("")]
    assert [key for key in keys if not key.startswith(f"checkpoints/{kept.id}/")] == []


@pytest.mark.parametrize(
    "fault", [RESET_IN_PART, Fault(lose_answer=True), SLOW_DOWN, Fault(refuse=(500, "Internal"))]
)
def test_upload_survives_a_part_that_fails_thrice(
    archives: ArchiveStore, objects: ObjectStore, faults: FaultyProxy, fault: Fault
) -> None:
    faults.plan("PUT", SOME_PART, fault, fault, fault)

    saved = store_checkpoint(archives, data=DATA)

    assert faults.seen("PUT", SOME_PART) == 4
    assert_only(objects, saved)


@pytest.mark.parametrize("fault", [CUT_IN_PART, Fault(reset_answer_at=0), SLOW_DOWN])
def test_download_survives_a_part_that_fails_thrice(
    archives: ArchiveStore, faults: FaultyProxy, fault: Fault
) -> None:
    saved = store_checkpoint(archives, data=DATA)
    faults.plan("GET", SOME_PART, fault, fault, fault)

    assert content(archives, saved) == DATA

    assert faults.seen("GET", SOME_PART) == 4


def test_manifest_whose_answer_is_lost_is_found_to_be_ours(
    archives: ArchiveStore, objects: ObjectStore, faults: FaultyProxy
) -> None:
    faults.plan("PUT", "manifest.json", Fault(lose_answer=True))

    saved = store_checkpoint(archives, data=DATA)

    assert faults.seen("PUT", "manifest.json") == 2
    assert_only(objects, saved)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("place", [SOME_PART, "manifest.json"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (SLOW_DOWN, StoreBusyError),
        (Fault(reset_request_at=10), StoreUnavailableError),
        (Fault(refuse=(507, "XMinioStorageFull")), StoreFullError),
        (Fault(refuse=(403, "AccessDenied")), StoreAccessError),
    ],
)
def test_upload_that_keeps_failing_leaves_no_checkpoint(
    archives: ArchiveStore,
    objects: ObjectStore,
    faults: FaultyProxy,
    place: str,
    fault: Fault,
    error: type[StorageError],
) -> None:
    kept = store_checkpoint(archives, data=DATA)
    faults.plan("PUT", place, *[fault] * MORE_THAN_PATIENCE)

    with pytest.raises(error) as failure:
        store_checkpoint(archives, "other", DATA)

    assert type(failure.value) is error
    if place == SOME_PART:  # else its parts are there, and nothing names them
        assert_only(objects, kept)
    assert archives.checkpoints() == [kept]


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("fault", "error"), [(SLOW_DOWN, StoreBusyError), (CUT_IN_PART, StoreUnavailableError)]
)
def test_download_that_keeps_failing_is_reported_before_its_end(
    archives: ArchiveStore, faults: FaultyProxy, fault: Fault, error: type[StorageError]
) -> None:
    saved = store_checkpoint(archives, data=DATA)
    faults.plan("GET", SOME_PART, *[fault] * MORE_THAN_PATIENCE)

    received = bytearray()
    with pytest.raises(error):
        receive(archives.read(saved.archive), received)

    assert DATA.startswith(received)
    assert len(received) <= 3 * PART


@pytest.mark.usefixtures("no_waiting")
def test_half_an_upload_whose_parts_cannot_be_deleted_is_not_listed(
    archives: ArchiveStore, faults: FaultyProxy
) -> None:
    faults.plan("PUT", SOME_PART, *[SLOW_DOWN] * MORE_THAN_PATIENCE)
    faults.plan("DELETE", "parts/000000", *[SLOW_DOWN] * MORE_THAN_PATIENCE)

    with pytest.raises(StoreBusyError):
        store_checkpoint(archives, data=DATA)

    assert archives.checkpoints() == []


@pytest.mark.usefixtures("long_patience")
def test_upload_goes_on_when_the_server_is_killed_and_started_again(mortal: S3Server) -> None:
    def source() -> Iterator[bytes]:
        for start in range(0, len(DATA), PART):
            if start == 4 * PART:
                mortal.server.kill()
                mortal.server.start()
            yield DATA[start : start + PART]

    with opened(mortal, "podferry") as objects:
        objects.check()
        archive = on(objects).write("some/prefix", source())

        assert b"".join(on(objects).read(archive)) == DATA


@pytest.mark.usefixtures("long_patience")
def test_download_goes_on_when_the_server_is_killed_and_started_again(mortal: S3Server) -> None:
    with opened(mortal, "podferry") as objects:
        objects.check()
        saved = store_checkpoint(on(objects), data=DATA)
        stream = on(objects).read(saved.archive)
        received = bytes(next(stream))

        mortal.server.kill()
        mortal.server.start()

        assert received + b"".join(stream) == DATA


def test_slow_link_is_no_error() -> None:
    with (
        network_with_a_slow_loopback("40mbit"),
        minio_server() as server,
        opened(server, "podferry") as objects,
    ):
        objects.check()
        assert_only(objects, store_checkpoint(on(objects), data=DATA))


@pytest.mark.parametrize(("hours", "way"), [(1, "ahead"), (-1, "behind")])
def test_wrong_clock_of_this_host_is_named(
    minio: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, hours: int, way: str
) -> None:
    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override] # noqa: ANN401
            return datetime.now(tz) + timedelta(hours=hours)

    def signing_time(remove_tzinfo: bool = True) -> datetime:
        moment = WrongClock.now(UTC)
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", signing_time)
    monkeypatch.setattr("storage.s3_errors.datetime", WrongClock)
    with (
        opened(minio, bucket) as objects,
        pytest.raises(StoreClockError, match=rf"off by about 3[56]\d\d seconds \({way}\)"),
    ):
        objects.check()


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    """A file system with so many bytes."""
    if os.geteuid() != 0:
        missing("a file system of its own needs root")
    options = ["-t", "tmpfs", "-o", f"size={size}"]
    subprocess.run(["mount", *options, "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_full_disk_leaves_no_part(tmp_path: Path) -> None:
    with small_disk(tmp_path, 12 * PART) as directory:
        objects = open_objects(directory.as_uri())
        kept = store_checkpoint(on(objects), data=DATA)

        files = [path for path in sorted(directory.rglob("*")) if path.is_file()]

        with pytest.raises(StoreFullError, match="no space left on device"):
            store_checkpoint(on(objects), "other", DATA)

        assert_only(objects, kept)
        assert [path for path in sorted(directory.rglob("*")) if path.is_file()] == files
        on(objects).delete_checkpoint(kept.id)
        store_checkpoint(on(objects), "other", DATA)


def test_full_server_leaves_no_part(tmp_path: Path) -> None:
    """MinIO wants some space left; how much is its own affair."""
    with (
        small_disk(tmp_path, 64 * PART) as directory,
        minio_server(data=directory) as server,
        opened(server, "podferry") as objects,
    ):
        objects.check()
        kept = store_checkpoint(on(objects), data=DATA)

        with pytest.raises(StoreFullError):
            store_checkpoint(on(objects), "other", noise(64 * PART))

        assert_only(objects, kept)


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_wrong_keys_are_refused(minio: S3Server, bucket: str, wrong: str) -> None:
    with opened(minio, bucket, **{wrong: "not-this-one"}) as objects:
        with pytest.raises(StoreAccessError, match="check the keys"):
            objects.check()
        with pytest.raises(StoreAccessError, match="check the keys"):
            store_checkpoint(on(objects), data=DATA)


def test_missing_bucket_is_named(minio: S3Server, bucket: str) -> None:
    with (
        opened(minio, bucket) as objects,
        pytest.raises(StoreConfigError, match=f"no existing bucket.*{bucket}"),
    ):
        store_checkpoint(on(objects), data=DATA)


def test_only_the_authority_of_the_settings_is_trusted(tmp_path: Path) -> None:
    right, wrong = make_certificate(tmp_path / "right"), make_certificate(tmp_path / "wrong")
    with minio_server(certificates=right.parent) as server:
        for ca_file in (wrong, None):
            with (
                opened(server, "podferry", ca_file=ca_file) as objects,
                pytest.raises(StoreConfigError, match=r"CA file setting.*verify failed"),
            ):
                objects.check()
        with opened(server, "podferry", ca_file=right) as objects:
            objects.check()
            assert_only(objects, store_checkpoint(on(objects), data=DATA))


def test_tls_to_a_server_without_it_is_named(minio: S3Server, bucket: str) -> None:
    endpoint = minio.endpoint.replace("http://", "https://")
    objects = open_objects(f"s3+{endpoint}/{bucket}", access_key="key", secret_key="secret")

    with contextlib.closing(objects), pytest.raises(StoreConfigError, match="does not speak TLS"):
        objects.check()


def test_object_that_grew_is_damage_and_not_read(
    archives: ArchiveStore, objects: ObjectStore
) -> None:
    saved = store_checkpoint(archives, data=DATA)
    objects.put(f"{saved.archive.prefix}/{SOME_PART}", bytes(2 * PART))

    with pytest.raises(ArchiveDamagedError):
        content(archives, saved)
