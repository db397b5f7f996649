"""A real MinIO, set up as docs/security.md says, tells ``podferry store-audit`` what it was asked.

What it refused is there to read afterwards, and nothing else.
"""

from __future__ import annotations

import json
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from storage import ArchiveStore, StoreAccessError
from tests.acceptance.console import blocks
from tests.fleet import PODFERRY, eventually
from tests.lab import ROOT
from tests.leaks import logs, nothing_leaked
from tests.services import S3Server, Server, free_port, minio_server
from tests.unit.storage.samples import KEYS, store_checkpoint

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
BUCKET = "podferry"
POLICY = ROOT / "ops" / "images" / "minio" / "policy.json"
WRONG = "not-the-secret-key"
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Audited:
    """A MinIO with a bucket, whoever logs what it refuses, and keys that may use the bucket."""

    minio: S3Server
    receiver: Server
    keys: dict[str, str]

    def ask(self, path: str, method: str = "GET", **headers: str) -> int:
        """The status of MinIO's answer."""
        url = f"{self.minio.endpoint}{path}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - http
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return int(answer.status)

    def get(self, bucket: str, key: str, access_key: str, secret_key: str) -> None:
        """Get an object with these keys, which are refused."""
        client = self._client(access_key, secret_key)
        with closing(client), pytest.raises(ClientError) as refused:
            client.get_object(Bucket=bucket, Key=key)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    def signed(self, key: str, access_key: str, secret_key: str) -> str:
        """The path of an object, with a signature in the query."""
        with closing(self._client(access_key, secret_key)) as client:
            url = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key})
        return str(url).removeprefix(self.minio.endpoint)

    def _client(self, access_key: str, secret_key: str) -> Any:  # noqa: ANN401 - boto3's
        return boto3.client(
            "s3",
            endpoint_url=self.minio.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(signature_version="s3v4"),
        )

    def lines(self) -> list[Line]:
        """What is logged of refusals."""
        text = (self.receiver.directory / "log").read_text()
        found = [json.loads(line) for line in text.splitlines()]
        return [line for line in found if line["event"] == "refused by the store"]

    def line(self, path: str) -> Line:
        """The one line of a path, once it is there."""
        found = eventually(
            lambda: [line for line in self.lines() if line["path"] == path], f"no line of {path}"
        )
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def audited() -> Iterator[Audited]:
    port = free_port()
    (settings,) = blocks(ROOT / "docs" / "security.md", "text")
    lines = settings.replace("9465", str(port)).splitlines()
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as name,
        minio_server(environment=dict(line.split("=") for line in lines)) as minio,
    ):
        receiver = Server(
            command=[PODFERRY, "store-audit", "--listen", str(port)],
            environment={},
            directory=Path(name),
            is_ready=lambda: listens(port),
        )
        with closing(minio.objects(BUCKET)) as objects:
            objects.check()
        receiver.start()
        try:
            keys = minio.temporary_keys(POLICY.read_text())
            yield Audited(minio=minio, receiver=receiver, keys=keys)
        finally:
            receiver.stop()
        hidden = {"root's key": minio.secret_key, "a wrong key": WRONG, **keys}
        del hidden["access_key"]
        nothing_leaked(hidden, logs(receiver.directory))


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@pytest.mark.parametrize(
    ("method", "path", "api"),
    [
        ("GET", "/podferry/checkpoints/web/manifest.json", "GetObject"),
        ("GET", "/podferry", "ListObjectsV1"),
        ("GET", "/", "ListBuckets"),
        ("PUT", "/podferry/checkpoints/forged", "PutObject"),
        ("DELETE", "/podferry/checkpoints/gone", "DeleteObject"),
        ("GET", "/minio/admin/v3/info", "ServerInfo"),
    ],
)
def test_who_has_no_keys_is_noted(audited: Audited, method: str, path: str, api: str) -> None:
    assert audited.ask(path, method) == 403
    line = audited.line(path)
    assert (line["status"], line["api"], line["remote_host"]) == (403, api, "127.0.0.1")
    assert (line["access_key"], line["key_proven"], line["host_claimed"]) == ("", False, False)
    assert line["time"] <= line["timestamp"]


def test_what_minio_does_not_know_is_noted_without_a_status(audited: Audited) -> None:
    assert audited.ask("/podferry/patched", "PATCH") == 400
    assert audited.line("/podferry/patched")["status"] == 0


def test_who_guesses_keys_is_noted_with_the_name_that_was_tried(audited: Audited) -> None:
    audited.get(BUCKET, "unknown", "nobody", WRONG)
    audited.get(BUCKET, "known", audited.minio.access_key, WRONG)
    url = audited.signed("in-the-query", audited.minio.access_key, WRONG)
    assert audited.ask(url) == 403
    assert audited.ask("/podferry/v2", Authorization=f"AWS someone:{WRONG}") == 400
    tried = {"unknown": "nobody", "v2": "someone"}
    tried |= dict.fromkeys(["known", "in-the-query"], audited.minio.access_key)
    lines = {key: audited.line(f"/podferry/{key}") for key in tried}
    assert {key: line["access_key"] for key, line in lines.items()} == tried
    assert not any(line["key_proven"] for line in lines.values())
    (signature,) = parse_qs(urlsplit(url).query)["X-Amz-Signature"]
    nothing_leaked({"signature": signature}, logs(audited.receiver.directory))


def test_a_user_who_asks_for_what_is_not_his_is_noted_by_name(audited: Audited) -> None:
    keys = audited.keys
    with (
        closing(audited.minio.objects("others", **keys)) as others,
        pytest.raises(StoreAccessError),
    ):
        others.get("theirs")
    line = audited.line("/others/theirs")
    assert (line["status"], line["access_key"], line["key_proven"]) == (
        403,
        keys["access_key"],
        True,
    )


def test_who_says_that_he_is_elsewhere_is_noted_as_one_who_says_so(audited: Audited) -> None:
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        address = "for=192.0.2.7" if header == "Forwarded" else "192.0.2.7"
        assert audited.ask(f"/podferry/{header}", **{header: address}) == 403
        line = audited.line(f"/podferry/{header}")
        assert (line["remote_host"], line["host_claimed"]) == ("192.0.2.7", True)


def test_what_is_granted_is_not_noted(audited: Audited) -> None:
    """An archive's whole life, as a worker's: MinIO tells of requests one after the other."""
    assert audited.ask("/podferry/before") == 403
    with closing(audited.minio.objects(BUCKET, **audited.keys)) as objects:
        objects.check()
        archives = ArchiveStore(objects, keys=KEYS)
        saved = store_checkpoint(archives)
        assert list(objects.list("checkpoints/"))
        assert list(archives.read(saved.archive))
        assert not objects.exists("missing")
        archives.delete_checkpoint(saved.id)
    assert audited.ask("/podferry/after") == 403
    audited.line("/podferry/after")
    paths = [line["path"] for line in audited.lines()]
    assert paths[paths.index("/podferry/before") :] == ["/podferry/before", "/podferry/after"]


def test_minio_goes_on_without_whoever_notes_and_tells_him_later(audited: Audited) -> None:
    audited.receiver.kill()
    try:
        with closing(audited.minio.objects(BUCKET, **audited.keys)) as objects:
            for number in range(20):
                objects.put(f"meanwhile/{number}", b"data")
                assert objects.get(f"meanwhile/{number}") == b"data"
        assert audited.ask("/podferry/unseen") == 403
    finally:
        audited.receiver.start()
    assert audited.ask("/podferry/seen") == 403
    assert [audited.line(f"/podferry/{key}")["status"] for key in ("unseen", "seen")] == [403, 403]
