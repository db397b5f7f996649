"""The bare minimum of a move: Podman's REST calls and boto3's plain transfers, nothing else.

usage: python -m tests.bench.rest_move SOURCE_SOCKET CONTAINER TARGET_SOCKET [CONTAINER …]

Moves as many at a time as a drain does. Prints as JSON, for each, the seconds of its
steps and the bytes of the archive. Looks at nothing beforehand, heals no loss of Podman's export,
encrypts nothing, falls back to nothing.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import quote

from tasks.models import AT_ONCE
from tests.bench.s3_tools import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

API = "/v5.0.0/libpod/containers"
READ_BYTES = 1 << 20


class Connection(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("d")
        self._path = path

    def connect(self) -> None:
        """See HTTPConnection."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Counted:
    """Reads from an answer and counts."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """See BinaryIO."""
        data = self._answer.read(None if size < 0 else size)
        self.size += len(data)
        return data


class Stopwatch:
    """Seconds of named steps."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        began = time.monotonic()
        yield
        self.steps[name] = time.monotonic() - began


def move(
    store: Store, client: S3Client, source: str, container: str, target: str
) -> dict[str, object]:
    """Checkpoint to the store, restore from it, remove the source's container."""
    watch = Stopwatch()
    key = f"bench/{container}.tar"
    with watch.step("checkpoint and upload"):
        ask = f"{API}/{quote(container)}/checkpoint?export=true&tcpEstablished=true&keep=true"
        answer = asked(source, "POST", ask)
        tar = Counted(answer)
        client.upload_fileobj(cast("BinaryIO", tar), store.bucket, key)
    with watch.step("download and restore"):
        body = client.get_object(Bucket=store.bucket, Key=key)["Body"]
        ask = f"{API}/import/restore?import=true&tcpEstablished=true"
        asked(target, "POST", ask, body.iter_chunks(READ_BYTES)).read()
    with watch.step("remove"):
        asked(source, "DELETE", f"{API}/{quote(container)}?force=true").read()
    return {"steps": watch.steps, "bytes": tar.size}


def asked(
    path: str, method: str, url: str, body: Iterator[bytes] | None = None
) -> http.client.HTTPResponse:
    """The answer to a request, which must be a success."""
    connection = Connection(path)
    connection.request(method, url, body=body)
    answer = connection.getresponse()
    if answer.status >= 300:
        sys.exit(f"{method} {url}: {answer.status} {answer.read().decode(errors='replace')}")
    return answer


def main(words: list[str]) -> None:
    """Do what the command line says."""
    if len(words) < 3 or not len(words) % 2:
        sys.exit(__doc__)
    source, containers, targets = words[0], words[1::2], words[2::2]
    store = Store.named()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(partial(move, store, store.client(), source), containers, targets)
        print(json.dumps(list(done)))


if __name__ == "__main__":
    main(sys.argv[1:])
