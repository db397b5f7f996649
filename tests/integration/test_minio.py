"""The S3 backend when the server behind it comes and goes."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tenacity import wait_none

from storage import (
    ArchiveStore,
    ObjectStore,
    StoreAccessError,
    StoreConfigError,
    StoreUnavailableError,
    open_objects,
)
from storage.s3 import _PATIENCE
from tests.services import S3Server, free_port, minio_server
from tests.unit.storage.samples import KEYS, noise, store_checkpoint

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PART = 1 << 20


@pytest.fixture
def minio() -> Iterator[S3Server]:
    with minio_server() as server:
        yield server


@pytest.fixture
def objects(minio: S3Server) -> Iterator[ObjectStore]:
    store = minio.objects("podferry")
    store.check()
    with contextlib.closing(store):
        yield store


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.s3._PATIENCE", _PATIENCE.copy(wait=wait_none()))


@pytest.mark.usefixtures("no_waiting")
def test_server_killed_during_an_upload_is_reported(minio: S3Server, objects: ObjectStore) -> None:
    archives = ArchiveStore(objects, part_bytes=PART, keys=KEYS, compression="none")
    kept = store_checkpoint(archives)

    def source() -> Iterator[bytes]:
        for number in range(30):
            if number == 10:
                minio.server.kill()
            yield noise(PART)

    with pytest.raises(StoreUnavailableError, match=minio.endpoint):
        archives.write("checkpoints/web/unfinished", source())

    minio.server.start()
    assert archives.checkpoints() == [kept]
    assert b"".join(archives.read(kept.archive)) == b"state"


@pytest.mark.usefixtures("no_waiting")
def test_server_killed_during_a_download_is_reported(minio: S3Server, objects: ObjectStore) -> None:
    archives = ArchiveStore(objects, part_bytes=PART, keys=KEYS, compression="none")
    stream = archives.read(archives.write("prefix", [noise(20 * PART)]))
    next(stream)

    minio.server.kill()

    with pytest.raises(StoreUnavailableError, match=minio.endpoint):
        list(stream)


def test_restarted_server_is_found_again(minio: S3Server, objects: ObjectStore) -> None:
    objects.put("key", b"data")

    minio.server.kill()
    minio.server.start()

    assert objects.get("key") == b"data"


@pytest.mark.usefixtures("no_waiting")
def test_server_that_does_not_run_is_named() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    objects = open_objects(f"s3+{endpoint}/podferry", access_key="key", secret_key="secret")

    with pytest.raises(StoreUnavailableError, match=endpoint):
        objects.check()


def test_wrong_key_is_refused(minio: S3Server) -> None:
    objects = minio.objects("podferry", secret_key="wrong")

    with contextlib.closing(objects), pytest.raises(StoreAccessError):
        objects.check()


def test_missing_bucket_is_reported_until_check_creates_it(minio: S3Server) -> None:
    objects = minio.objects("missing")

    with contextlib.closing(objects):
        with pytest.raises(StoreConfigError, match="no existing bucket"):
            objects.put("key", b"data")
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(objects.check) for _ in range(4)]:
                done.result()
        objects.put("key", b"data")


def test_listing_goes_beyond_one_page(objects: ObjectStore) -> None:
    expected = {f"many/{number}" for number in range(1005)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: objects.put(key, b""), expected))

    assert {info.key for info in objects.list("many/")} == expected


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # workers do fork
def test_forked_child_has_a_connection_of_its_own(objects: ObjectStore) -> None:
    objects.put("parent", b"data")

    child = os.fork()
    if child == 0:
        found = False
        try:
            objects.put("child", objects.get("parent"))
            found = True
        finally:
            os._exit(0 if found else 1)

    for _ in range(20):
        assert objects.get("parent") == b"data"
    assert os.waitpid(child, 0)[1] == 0
    assert objects.get("child") == b"data"
