"""The S3 backend against scripted answers; tests/contract runs it against a real server."""

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import URLLib3Session

from storage import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StorageError,
    StoreAccessError,
    StoreBusyError,
    StoreClockError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
)
from storage.s3 import S3ObjectStore
from storage.s3_options import S3Options

URL = "s3+http://minio.test:9000/podferry/site"
SECRET = "hunter2hunter2hunter2"
UNKNOWN = -1  # the length of an answer that comes in chunks


class Body(io.BytesIO):
    """A response body as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Wire:
    """Answers requests from a list; the last answer stays."""

    def __init__(self) -> None:
        self.answers: list[Callable[[str], AWSResponse]] = []
        self.requests: list[AWSPreparedRequest] = []

    def answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        length: int | None = None,
        date: datetime | None = None,
    ) -> None:
        headers = HTTPHeaders()
        if length != UNKNOWN:
            headers["Content-Length"] = str(len(body) if length is None else length)
        if date:
            headers["Date"] = format_datetime(date, usegmt=True)
        self.answers.append(lambda url: AWSResponse(url, status, headers, Body(body)))

    def refuse(self, status: int, code: str, *, date: datetime | None = None) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
        self.answer(status, body.encode(), date=date)

    def fail(self, error: Exception | Callable[[str], Exception]) -> None:
        def answer(url: str) -> AWSResponse:
            raise error if isinstance(error, Exception) else error(url)

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


def store(endpoint: str | None = "http://minio.test:9000", **options: Any) -> S3ObjectStore:  # noqa: ANN401 - S3Options'
    keys = {"access_key": "key", "secret_key": SECRET}
    return S3ObjectStore(
        bucket="podferry",
        prefix="site",
        endpoint=endpoint,
        options=S3Options(**{**keys, **options}),
    )


@pytest.fixture
def objects() -> S3ObjectStore:
    return store()


def streamed(objects: S3ObjectStore, key: str, *, max_bytes: int = 1 << 20) -> bytes:
    return objects.stream(key, b"".join, block_bytes=1000, max_bytes=max_bytes)


@pytest.fixture(params=[S3ObjectStore.get, streamed])
def read(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    """Both ways to read an object."""
    way: Callable[..., bytes] = request.param
    return way


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectNotFoundError("a/b")),
        (404, "NoSuchBucket", StoreConfigError("object store URL", "podferry")),
        (400, "AuthorizationHeaderMalformed", StoreConfigError("object store region", "another")),
        (400, "InvalidStorageClass", StoreConfigError("object store storage class", "no such")),
        (400, "KMS.NotFoundException", StoreConfigError("object store KMS key", "KMS.NotFound")),
        (501, "NotImplemented", StoreConfigError("object store URL", "lacks")),
        (412, "PreconditionFailed", ObjectExistsError("a/b")),
        (403, "AccessDenied", StoreAccessError(URL, "AccessDenied")),
        (401, "Unauthorized", StoreAccessError(URL, "Unauthorized")),
        (400, "InvalidRequest", StoreAccessError(URL, "InvalidRequest")),
        (400, "IncompleteBody", StoreUnavailableError(URL, "IncompleteBody")),
        (409, "ConditionalRequestConflict", StoreUnavailableError(URL, "Conflict")),
        (500, "InternalError", StoreUnavailableError(URL, "InternalError")),
        (503, "SlowDown", StoreBusyError(URL, "SlowDown")),
        (429, "TooManyRequests", StoreBusyError(URL, "TooManyRequests")),
        (507, "XMinioStorageFull", StoreFullError(URL, "XMinioStorageFull")),
        (403, "RequestTimeTooSkewed", StoreClockError(URL, 0)),
    ],
)
def test_refusals_become_our_errors(
    wire: Wire,
    read: Callable[..., bytes],
    objects: S3ObjectStore,
    status: int,
    code: str,
    expected: StorageError,
) -> None:
    wire.refuse(status, code)

    with pytest.raises(type(expected)) as refusal:
        read(objects, "a/b")

    assert type(refusal.value) is type(expected)
    assert refusal.value.args[0] == expected.args[0]
    assert str(expected.args[-1]) in f"{refusal.value} {refusal.value.args}"
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

    assert len(wire.requests) == 8


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        ("certificate verify failed [SSL: CERTIFICATE_VERIFY_FAILED]", "CA file"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "URL"),
    ],
)
def test_handshake_that_a_setting_spoils_is_not_tried_again(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore, error: str, setting: str
) -> None:
    wire.fail(SSLError(endpoint_url="https://minio.test:9000", error=OSError(error)))

    with pytest.raises(StoreConfigError) as refusal:
        read(objects, "key")

    assert refusal.value.setting == f"object store {setting}"
    assert len(wire.requests) == 1


def test_handshake_that_breaks_off_is_tried_again(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore
) -> None:
    wire.fail(SSLError(endpoint_url="https://minio.test:9000", error=OSError("EOF occurred")))
    wire.answer(200, b"data")

    assert read(objects, "key") == b"data"


@pytest.mark.parametrize(("status", "code"), [(507, "XMinioStorageFull"), (403, "AccessDenied")])
def test_trouble_that_stays_is_not_tried_again(
    wire: Wire, objects: S3ObjectStore, status: int, code: str
) -> None:
    wire.refuse(status, code)

    with pytest.raises(StorageError):
        objects.put("key", b"data")

    assert len(wire.requests) == 1


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "Forbidden"])
@pytest.mark.parametrize(
    ("hours", "said"), [(1, "about 3... seconds .behind"), (-1, "about 3... seconds .ahead")]
)
def test_wrong_clock_is_measured(
    wire: Wire, objects: S3ObjectStore, code: str, hours: int, said: str
) -> None:
    wire.refuse(403, code, date=datetime.now(UTC) + timedelta(hours=hours))

    with pytest.raises(StoreClockError, match=said) as refusal:
        objects.exists("key")

    assert refusal.value.seconds == pytest.approx(-3600 * hours, abs=60)


def test_right_clock_is_not_blamed(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore
) -> None:
    wire.refuse(403, "AccessDenied", date=datetime.now(UTC))

    with pytest.raises(StoreAccessError) as refusal:
        read(objects, "key")

    assert type(refusal.value) is StoreAccessError


def test_short_trouble_goes_unnoticed(wire: Wire, objects: S3ObjectStore) -> None:
    wire.refuse(503, "SlowDown")
    wire.refuse(500, "InternalError")
    wire.answer(200)

    objects.put("key", bytearray(b"data"))

    assert wire.bodies() == [b"data"] * 3


def test_answer_that_breaks_off_is_read_again(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore
) -> None:
    wire.answer(200, b"half", length=8)
    wire.answer(200, b"halfhalf")

    assert read(objects, "key") == b"halfhalf"


def test_answer_that_keeps_breaking_off_is_reported(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore
) -> None:
    wire.answer(200, b"half", length=8)

    with pytest.raises(StoreUnavailableError):
        read(objects, "key")


def test_upload_is_plain(wire: Wire, objects: S3ObjectStore) -> None:
    wire.answer(200)

    objects.put("a/b", b"data", if_absent=True)

    (request,) = wire.requests
    assert request.url == "http://minio.test:9000/podferry/site/a/b"
    assert request.headers["If-None-Match"] == b"*"
    assert request.headers["X-Amz-Content-SHA256"] == b"UNSIGNED-PAYLOAD"
    assert not any("checksum" in name.lower() for name in request.headers)
    assert not any("encryption" in name.lower() for name in request.headers)


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"sse": "AES256"}, {"x-amz-server-side-encryption": b"AES256"}),
        (
            {"sse": "aws:kms", "kms_key": "key-1"},
            {
                "x-amz-server-side-encryption": b"aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id": b"key-1",
            },
        ),
        ({"storage_class": "STANDARD_IA"}, {"x-amz-storage-class": b"STANDARD_IA"}),
        ({"session_token": "token"}, {"X-Amz-Security-Token": b"token"}),
    ],
)
def test_options_go_with_an_upload(
    wire: Wire, options: dict[str, Any], headers: dict[str, bytes]
) -> None:
    wire.answer(200)

    store(**options).put("key", b"data")

    assert headers.items() <= dict(wire.requests[0].headers).items()


@pytest.mark.parametrize(
    ("endpoint", "addressing", "place"),
    [
        ("http://minio.test:9000", "auto", "http://minio.test:9000/podferry/"),
        ("http://minio.test:9000", "path", "http://minio.test:9000/podferry/"),
        ("http://minio.test:9000", "virtual", "http://podferry.minio.test:9000/"),
        (None, "auto", "https://podferry.s3.amazonaws.com/"),
        (None, "path", "https://s3.amazonaws.com/podferry/"),
    ],
)
def test_addressing_decides_where_the_bucket_stands(
    wire: Wire, endpoint: str | None, addressing: str, place: str
) -> None:
    wire.answer(200)

    store(endpoint, addressing=addressing, region="us-east-1").put("key", b"data")

    assert wire.requests[0].url.startswith(place)


def test_answer_larger_than_wanted_is_not_read(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore
) -> None:
    wire.answer(200, b"data", length=1 << 60)

    with pytest.raises(ObjectTooLargeError, match="1024 bytes"):
        read(objects, "key", max_bytes=1024)

    assert len(wire.requests) == 1


@pytest.mark.parametrize(("size", "fits"), [(1024, True), (1025, False)])
def test_answer_of_unknown_length_is_read_to_the_limit(
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore, size: int, fits: bool
) -> None:
    wire.answer(200, bytes(size), length=UNKNOWN)

    if fits:
        assert read(objects, "key", max_bytes=1024) == bytes(size)
    else:
        with pytest.raises(ObjectTooLargeError):
            read(objects, "key", max_bytes=1024)


def test_missing_credentials_are_reported(
    wire: Wire, read: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.session.Session.get_credentials", lambda _: None)

    with pytest.raises(StoreAccessError, match="credentials"):
        read(S3ObjectStore(bucket="podferry"), "key")

    assert wire.requests == []


def test_bucket_is_created_in_the_region_of_the_settings(wire: Wire) -> None:
    objects = store(None, region="eu-north-1")
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
    wire: Wire, read: Callable[..., bytes], objects: S3ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    wire.refuse(403, "SignatureDoesNotMatch")

    with pytest.raises(StoreAccessError) as refusal:
        read(objects, "key")

    assert SECRET not in f"{refusal.value} {refusal.value.__cause__} {objects!r} {caplog.text}"


@pytest.mark.parametrize(
    "kind",
    [ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError, ConnectionClosedError,
     SSLError, HTTPClientError],
)  # fmt: skip
def test_signature_is_in_no_error_or_log(
    wire: Wire,
    objects: S3ObjectStore,
    caplog: pytest.LogCaptureFixture,
    kind: Any,  # noqa: ANN401 - BotoCoreError's stubs lack the words of its kinds
) -> None:
    caplog.set_level(logging.DEBUG, "storage")
    wire.fail(lambda url: kind(endpoint_url=url, error=OSError("told to fail")))

    with pytest.raises(StoreUnavailableError) as refusal:
        streamed(objects, "a/b")

    assert all("X-Amz-Signature" in request.url for request in wire.requests)
    assert len(wire.requests) == 8
    shown = "".join(traceback.format_exception(refusal.value)) + caplog.text
    assert "told to fail" in shown or "podferry/site/a/b" in shown
    assert "X-Amz" not in shown


def test_a_download_is_signed_with_the_session_token(wire: Wire) -> None:
    wire.answer(200, b"data")

    assert streamed(store(session_token="token"), "a/b") == b"data"

    (request,) = wire.requests
    assert request.url.startswith("http://minio.test:9000/podferry/site/a/b?X-Amz-Algorithm=AWS4")
    assert "X-Amz-Security-Token=token" in request.url
