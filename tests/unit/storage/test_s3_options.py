from pathlib import Path
from typing import Any

import pytest

from storage import StoreConfigError, open_objects
from tests.certificates import make_certificate

HTTP = "s3+http://minio.example.net:9000/podferry"
HTTPS = "s3+https://minio.example.net/podferry"
KEYS = {"access_key": "key", "secret_key": "hunter2"}


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.mark.parametrize(
    ("url", "options", "setting", "reason"),
    [
        (HTTP, {"access_key": "key"}, "access key", "both keys"),
        (HTTP, {"session_token": "hunter2"}, "session token", "there is none"),
        (HTTP, {"region": "eu north"}, "region", "'eu north'"),
        (HTTP, {"kms_key": "k"}, "KMS key", "SSE aws:kms"),
        (HTTP, {"kms_key": "k", "sse": "AES256"}, "KMS key", "SSE aws:kms"),
        (HTTP, {"storage_class": "cold"}, "storage class", "'cold'"),
        (HTTP, {"storage_class": "DEEP_ARCHIVE"}, "storage class", "read at once"),
        (HTTPS, {"ca_file": Path("/nowhere/ca.pem")}, "CA file", "no such file"),
        (HTTPS, {"ca_file": Path(__file__)}, "CA file", "no PEM"),
        ("s3+http://10.0.0.1:9000/b23", {"addressing": "virtual"}, "addressing", "not an address"),
        ("s3+https://s3.test/a.b.c", {"addressing": "virtual"}, "addressing", "a bucket with dots"),
        ("s3://a.b.c", {"addressing": "virtual"}, "addressing", "a bucket with dots"),
        ("file:///srv", {"sse": "AES256"}, "SSE", "not S3"),
        ("memory://", {"storage_class": "STANDARD"}, "storage class", "not S3"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    url: str, options: dict[str, Any], setting: str, reason: str
) -> None:
    with pytest.raises(StoreConfigError, match=reason) as refusal:
        open_objects(url, **options)

    assert refusal.value.setting == f"object store {setting}"
    assert "hunter2" not in str(refusal.value)


def test_certificates_for_plain_http_are_refused(certificates: Path) -> None:
    with pytest.raises(StoreConfigError, match="plain http"):
        open_objects(HTTP, ca_file=certificates)


@pytest.mark.parametrize("url", [HTTPS, "s3://podferry"])
def test_options_that_go_together_are_taken(url: str, certificates: Path) -> None:
    objects = open_objects(
        url,
        **KEYS,
        session_token="hunter2",
        region="eu-north-1",
        addressing="virtual",
        ca_file=certificates,
        sse="aws:kms",
        kms_key="arn:aws:kms:eu-north-1:1:key/2",
        storage_class="STANDARD_IA",
    )

    assert objects.url == url
    assert "hunter2" not in repr(vars(objects))


def test_what_only_says_how_to_reach_s3_matters_to_no_other_store(certificates: Path) -> None:
    options: dict[str, Any] = {**KEYS, "region": "eu", "addressing": "path"}

    assert open_objects("memory://", ca_file=certificates, **options).url == "memory://"
