"""The S3 backend against scripted answers; tests/contract runs it against a real server."""

import io
import logging
from collections.abc import Callable, Iterator

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError
from botocore.httpsession import URLLib3Session

from storage import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreAccessError,
    StoreConfigError,
    StoreUnavailableError,
)
from storage.s3 import S3ObjectStore

URL = "s3+http://minio.test:9000/podferry/site"
SECRET = "hunter2hunter2hunter2"


class Body(io.BytesIO):
    """A response body as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Wire:
    """Answers requests from a list; the last answer stays."""

    def __init__(self) -> None:
        self.answers: list[Callable[[str], AWSResponse]] = []
        self.requests: list[AWSPreparedRequest] = []

    def answer(self, status: int, body: bytes = b"", *, length: int | None = None) -> None:
        headers = HTTPHeaders()
        headers["Content-Length"] = str(len(body) if length is None else length)
        self.answers.append(lambda url: AWSResponse(url, status, headers, Body(body)))

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def fail(self, error: Exception) -> None:
        def answer(_: str) -> AWSResponse:
            raise error

        self.answers.append(answer)

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request.url)

    def bodies(self) -> list[bytes]:
        return [
            bytes(request.body) if isinstance(request.body, bytes | bytearray) else b""
            for request in self.requests
        ]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(URLLib3Session, "send", lambda _, request: wire.send(request))
    monkeypatch.setattr("time.sleep", lambda _: None)  # between retries
    return wire


@pytest.fixture
def objects() -> S3ObjectStore:
    return S3ObjectStore(
        bucket="podferry",
        prefix="site",
        endpoint="http://minio.test:9000",
        access_key="key",
        secret_key=SECRET,
    )


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectNotFoundError("a/b")),
        (404, "NoSuchBucket", StoreConfigError("object store URL", "podferry")),
        (412, "PreconditionFailed", ObjectExistsError("a/b")),
        (403, "AccessDenied", StoreAccessError(URL, "AccessDenied")),
        (401, "Unauthorized", StoreAccessError(URL, "Unauthorized")),
        (400, "InvalidRequest", StoreAccessError(URL, "InvalidRequest")),
        (409, "ConditionalRequestConflict", StoreUnavailableError(URL, "Conflict")),
        (500, "InternalError", StoreUnavailableError(URL, "InternalError")),
        (503, "SlowDown", StoreUnavailableError(URL, "SlowDown")),
        (507, "XMinioStorageFull", StoreUnavailableError(URL, "XMinioStorageFull")),
    ],
)
def test_refusals_become_our_errors(
    wire: Wire, objects: S3ObjectStore, status: int, code: str, expected: StorageError
) -> None:
    wire.refuse(status, code)

    with pytest.raises(type(expected)) as refusal:
        objects.get("a/b")

    assert refusal.value.args[0] == expected.args[0]
    assert expected.args[-1] in str(refusal.value)
    assert refusal.value.__cause__ is not None


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://minio.test:9000"),
        ConnectTimeoutError(endpoint_url="http://minio.test:9000"),
    ],
)
def test_silence_is_tried_again_and_then_reported(
    wire: Wire, objects: S3ObjectStore, error: Exception
) -> None:
    wire.fail(error)

    with pytest.raises(StoreUnavailableError, match=r"minio\.test:9000"):
        objects.put("key", b"data")

    assert len(wire.requests) == 5


def test_short_trouble_goes_unnoticed(wire: Wire, objects: S3ObjectStore) -> None:
    wire.refuse(503, "SlowDown")
    wire.refuse(500, "InternalError")
    wire.answer(200)

    objects.put("key", bytearray(b"data"))

    assert wire.bodies() == [b"data"] * 3


def test_answer_that_breaks_off_is_read_again(wire: Wire, objects: S3ObjectStore) -> None:
    wire.answer(200, b"half", length=8)
    wire.answer(200, b"halfhalf")

    assert objects.get("key") == b"halfhalf"


def test_answer_that_keeps_breaking_off_is_reported(wire: Wire, objects: S3ObjectStore) -> None:
    wire.answer(200, b"half", length=8)

    with pytest.raises(StoreUnavailableError):
        objects.get("key")


def test_upload_is_plain(wire: Wire, objects: S3ObjectStore) -> None:
    wire.answer(200)

    objects.put("a/b", b"data", if_absent=True)

    (request,) = wire.requests
    assert request.url == "http://minio.test:9000/podferry/site/a/b"
    assert request.headers["If-None-Match"] == b"*"
    assert request.headers["X-Amz-Content-SHA256"] == b"UNSIGNED-PAYLOAD"
    assert not any("checksum" in name.lower() for name in request.headers)


def test_missing_credentials_are_reported(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.session.Session.get_credentials", lambda _: None)

    with pytest.raises(StoreAccessError, match="credentials"):
        S3ObjectStore(bucket="podferry").get("key")

    assert wire.requests == []


def test_bucket_is_created_in_the_region_of_the_settings(wire: Wire) -> None:
    objects = S3ObjectStore(bucket="podferry", access_key="k", secret_key="s", region="eu-north-1")
    wire.answer(404)
    wire.refuse(409, "OperationAborted")

    with pytest.raises(StoreUnavailableError):
        objects.check()

    assert b"<LocationConstraint>eu-north-1<" in wire.bodies()[1]


def test_bucket_that_may_not_be_looked_at_can_be_used(wire: Wire, objects: S3ObjectStore) -> None:
    wire.answer(403)
    wire.refuse(403, "AccessDenied")

    with pytest.raises(StoreAccessError, match="PutObject"):
        objects.check()


def test_secret_is_in_no_error_or_log(
    wire: Wire, objects: S3ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    wire.refuse(403, "SignatureDoesNotMatch")

    with pytest.raises(StoreAccessError) as refusal:
        objects.get("key")

    assert SECRET not in f"{refusal.value} {refusal.value.__cause__} {objects!r} {caplog.text}"
