"""The settings of S3, each against a real server that heeds it."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from storage import ArchiveStore, StoreAccessError, StoreConfigError
from storage.s3 import S3ObjectStore
from tests.acceptance.console import blocks
from tests.lab import ROOT
from tests.services import S3Server, minio_server
from tests.unit.storage.samples import KEYS, store_checkpoint

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
KMS_KEY = "podferry-key"
DOMAIN = "s3.test"
REGION = "eu-north-1"


@pytest.fixture(scope="module")
def minio() -> Iterator[S3Server]:
    """A MinIO with a key management of its own, a region and a domain."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    environment = {
        "MINIO_KMS_SECRET_KEY": f"{KMS_KEY}:{key}",
        "MINIO_DOMAIN": DOMAIN,
        "MINIO_REGION": REGION,
    }
    with minio_server(environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def plain_minio() -> Iterator[S3Server]:
    with minio_server() as server:
        yield server


@contextlib.contextmanager
def opened(server: S3Server, **options: Any) -> Iterator[S3ObjectStore]:  # noqa: ANN401 - open_objects'
    store = server.objects("podferry", **{"region": REGION, **options})
    assert isinstance(store, S3ObjectStore)
    with contextlib.closing(store):
        yield store


def head(store: S3ObjectStore, key: str) -> dict[str, Any]:
    """What the server says of an object."""
    return dict(store._client().head_object(Bucket="podferry", Key=key))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sse": "AES256"}, {"ServerSideEncryption": "AES256"}),
        ({"sse": "aws:kms"}, {"ServerSideEncryption": "aws:kms"}),
        (
            {"sse": "aws:kms", "kms_key": KMS_KEY},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": f"arn:aws:kms:{KMS_KEY}"},
        ),
        ({"storage_class": "REDUCED_REDUNDANCY"}, {"StorageClass": "REDUCED_REDUNDANCY"}),
    ],
)
def test_objects_are_kept_as_asked(
    minio: S3Server, options: dict[str, Any], expected: dict[str, str]
) -> None:
    with opened(minio, **options) as objects:
        objects.check()
        objects.put("key", b"data")

        assert objects.get("key") == b"data"
        assert expected.items() <= head(objects, "key").items()


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"sse": "aws:kms", "kms_key": "no-such-key"}, "KMS key"),
        ({"storage_class": "NO_SUCH_CLASS"}, "storage class"),
    ],
)
def test_setting_that_the_server_refuses_is_named(
    minio: S3Server, options: dict[str, Any], setting: str
) -> None:
    with opened(minio, **options) as objects, pytest.raises(StoreConfigError) as refusal:
        objects.check()

    assert refusal.value.setting == f"object store {setting}"


def test_wrong_region_is_put_right(minio: S3Server) -> None:
    with opened(minio, region="us-west-2") as objects:
        objects.check()
        objects.put("key", b"data")

        assert objects.get("key") == b"data"


def documented(key: str) -> str:
    """The JSON block of the document that has this key."""
    (block,) = (text for text in blocks(ROOT / "docs" / "storage.md", "json") if key in text)
    return block


def test_documented_policy_is_enough_and_temporary_keys_work(plain_minio: S3Server) -> None:
    with opened(plain_minio, region=None) as everything:
        everything.check()
    given = plain_minio.temporary_keys(documented("Statement"))
    keys = {name: given[name] for name in ("access_key", "secret_key")}

    with opened(plain_minio, region=None, **given) as objects:
        objects.check()
        archives = ArchiveStore(objects, keys=KEYS)
        saved = store_checkpoint(archives)
        assert archives.checkpoints() == [saved]
        assert b"".join(archives.read(saved.archive)) == b"state"
        assert not objects.exists("missing")
        archives.delete_checkpoint(saved.id)
        assert list(objects.list("")) == []
    with (
        contextlib.closing(plain_minio.objects("another", **given)) as another,
        pytest.raises(StoreAccessError),
    ):
        another.check()
    with opened(plain_minio, region=None, **keys) as tokenless, pytest.raises(StoreAccessError):
        tokenless.check()


def test_documented_lifecycle_rule_is_taken(plain_minio: S3Server) -> None:
    with opened(plain_minio, region=None) as objects:
        objects.check()
        client = objects._client()
        client.put_bucket_lifecycle_configuration(
            Bucket="podferry", LifecycleConfiguration=json.loads(documented("Rules"))
        )
        (rule,) = client.get_bucket_lifecycle_configuration(Bucket="podferry")["Rules"]

    assert rule["ID"] == "podferry"


@pytest.mark.parametrize("sse", ["AES256", "aws:kms"])
def test_server_without_encryption_is_named(plain_minio: S3Server, sse: str) -> None:
    with (
        opened(plain_minio, region=None, sse=sse) as objects,
        pytest.raises(StoreConfigError, match="encryption"),
    ):
        objects.check()


def test_bucket_before_the_host_name(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    resolve = socket.getaddrinfo

    def resolve_here(host: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        asked.append(host)
        return resolve("127.0.0.1" if host.endswith(DOMAIN) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    named = S3Server(
        endpoint=minio.endpoint.replace("127.0.0.1", DOMAIN),
        access_key=minio.access_key,
        secret_key=minio.secret_key,
        server=minio.server,
    )

    with opened(named, addressing="virtual") as objects:
        objects.check()
        objects.put("key", b"data")
        assert objects.get("key") == b"data"

    assert set(asked) == {f"podferry.{DOMAIN}"}
