from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from threading import Thread
from typing import Any

import pytest
from structlog.testing import capture_logs

from tasks.errors import InvalidRequestError
from tests.leaks import nothing_leaked
from workers.metrics.address import Address
from workers.store_audit import ENTRY_BYTES_MAX, TEXT_MAX, AuditServer, note, run_store_audit

SIGNATURE = "5cac94565952273f0a1424e1b38149a6db9ad321c79fcad1280fd336d29057eb"
SCOPE = "20261128/us-east-1/s3/aws4_request"
V4 = f"AWS4-HMAC-SHA256 Credential=someone/{SCOPE}, SignedHeaders=host, Signature={SIGNATURE}"
# as MinIO sent it, but for what is cut of the headers
SENT: dict[str, Any] = {
    "version": "1",
    "deploymentid": "74b30b85-88fb-4d14-b56b-2a9337f6b0e1",
    "time": "2026-11-28T20:44:59.187451201Z",
    "event": "",
    "trigger": "incoming",
    "api": {
        "name": "GetObject",
        "bucket": "podferry",
        "object": "checkpoints/web",
        "status": "Forbidden",
        "statusCode": 403,
        "rx": 0,
        "tx": 337,
        "timeToResponse": "632223ns",
    },
    "remotehost": "192.0.2.7",
    "requestID": "18EC50583D9B23A2",
    "userAgent": "curl/7.88.1",
    "requestPath": "/podferry/checkpoints/web",
    "requestHost": "hub.example:9000",
    "requestHeader": {"Accept": "*/*", "Authorization": V4, "X-Amz-Security-Token": SIGNATURE},
    "responseHeader": {"Server": "MinIO", "X-Amz-Request-Id": "18EC50583D9B23A2"},
    "tags": {"GetObject": "name=checkpoints/web,pool=1,set=1"},
}


def entry(status: int = 403, **fields: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps({**SENT, "api": {**SENT["api"], "statusCode": status}, **fields}).encode()


def noted(*entries: bytes) -> Sequence[Mapping[str, Any]]:
    with capture_logs() as lines:
        note(b"\n".join(entries) + b"\n")
    return lines


def test_a_line_has_what_was_refused_to_whom_and_no_signature() -> None:
    (line,) = noted(entry())
    assert line == {
        "event": "refused by the store",
        "log_level": "warning",
        "time": "2026-11-28T20:44:59.187451+00:00",
        "api": "GetObject",
        "path": "/podferry/checkpoints/web",
        "status": 403,
        "remote_host": "192.0.2.7",
        "host_claimed": False,
        "access_key": "someone",
        "key_proven": False,
    }


@pytest.mark.parametrize(
    ("status", "access_key", "refused"),
    [
        *((status, "", False) for status in (200, 204, 304, 500, 503)),
        *((status, "", True) for status in (400, 401, 403, 404, 405, 412)),
        *((status, "user", False) for status in (200, 404, 409, 412, 416)),
        *((status, "user", True) for status in (400, 403)),
    ],
)
def test_what_is_ordinary_for_who_was_let_in_is_no_refusal(
    status: int, access_key: str, refused: bool
) -> None:
    lines = noted(entry(status, accessKey=access_key))
    assert [(line["status"], line["key_proven"]) for line in lines] == (
        [(status, bool(access_key))] if refused else []
    )


@pytest.mark.parametrize(("trigger", "refused"), [("incoming", True), ("internal-scanner", False)])
def test_a_request_that_minio_does_not_know_is_refused_too(trigger: str, refused: bool) -> None:
    """MinIO tells no status of it, nor of what it did by itself."""
    lines = noted(entry(trigger=trigger, api={"rx": 0, "tx": -1}))
    assert [line["status"] for line in lines] == ([0] if refused else [])


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ({"Authorization": V4}, {}, "someone"),
        ({"Authorization": V4.replace(", ", ",")}, {}, "someone"),
        (
            {"Authorization": f"AWS4-HMAC-SHA256 Signature={SIGNATURE}, Credential=b/{SCOPE}"},
            {},
            "b",
        ),
        ({"Authorization": f"AWS someone:{SIGNATURE}"}, {}, "someone"),
        ({"Authorization": f"Bearer {SIGNATURE}"}, {}, ""),
        ({"Authorization": f"AWS {SIGNATURE}"}, {}, ""),
        ({"Authorization": "Credential=" * 100_000}, {}, ""),
        ({}, {"X-Amz-Credential": f"someone/{SCOPE}", "X-Amz-Signature": SIGNATURE}, "someone"),
        ({}, {"AWSAccessKeyId": "someone", "Signature": SIGNATURE}, "someone"),
        ({}, {}, ""),
    ],
)
def test_the_key_is_the_one_that_was_tried(
    headers: dict[str, str], query: dict[str, str], key: str
) -> None:
    (line,) = noted(entry(requestHeader=headers, requestQuery=query))
    assert (line["access_key"], line["key_proven"]) == (key, False)
    nothing_leaked({"signature": SIGNATURE}, [("line", repr(line))])


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-Ip", "Forwarded"])
def test_an_address_that_a_client_claims_is_told_from_one_that_minio_saw(header: str) -> None:
    (line,) = noted(entry(requestHeader={header: "192.0.2.7"}))
    assert line["host_claimed"]


def test_several_entries_are_several_lines_and_long_names_are_cut() -> None:
    lines = noted(entry(), entry(200), entry(requestPath="/" + "x" * 2 * TEXT_MAX))
    assert [len(line["path"]) for line in lines] == [len("/podferry/checkpoints/web"), TEXT_MAX]


@pytest.mark.parametrize("sent", [b"{", b"[]", b'{"api": {}}', SIGNATURE.encode(), b"\xff"])
def test_what_is_no_entry_is_said_and_not_shown(sent: bytes) -> None:
    line, after = noted(sent, entry())
    assert line["event"] == "what came is no entry of MinIO's audit log"
    assert SIGNATURE not in repr(line)
    assert after["event"] == "refused by the store"


@pytest.fixture
def connection() -> Iterator[http.client.HTTPConnection]:
    with AuditServer(Address("127.0.0.1", 0)) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            port = server.server_address[1]
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as made:
                yield made
        finally:
            server.shutdown()
            serving.join()


def test_minio_is_told_that_it_arrived_whatever_it_was(
    connection: http.client.HTTPConnection,
) -> None:
    """On one connection: an entry that is too long takes nothing of the one after it."""
    with capture_logs() as lines:
        for body in (b"x" * (ENTRY_BYTES_MAX + 1), b"{", b"", entry()):
            connection.request("POST", "/", body)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (204, b"")
    assert [line["event"] for line in lines] == [
        "an entry of MinIO's audit log is too long",
        "what came is no entry of MinIO's audit log",
        "refused by the store",
    ]


def test_an_address_that_is_taken_is_named() -> None:
    with AuditServer(Address("127.0.0.1", 0)) as server:
        taken = Address("127.0.0.1", server.server_address[1])
        with pytest.raises(InvalidRequestError, match=f"{taken}: address already in use"):
            run_store_audit(taken)
