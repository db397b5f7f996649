"""A proxy before an S3 server that spoils chosen requests."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.services import S3Server

_NOT_PASSED_ON = {"connection", "expect", "transfer-encoding"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one request; each field alone."""

    reset_request_at: int | None = None  # bytes of its body that are taken, then a TCP reset
    reset_answer_at: int | None = None  # bytes of the answer's body that are passed on, then that
    lose_answer: bool = False  # the server does it, its answer is a TCP reset
    refuse: tuple[int, str] | None = None  # the status and code that it is answered with


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on, signatures intact. `plan` says what goes wrong; the rest goes well."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self._lock = threading.Lock()
        self._planned: dict[tuple[str, str], list[Fault]] = {}
        self._seen: list[tuple[str, str]] = []

    def plan(self, method: str, suffix: str, *faults: Fault) -> None:
        """The next requests for a path with this suffix have these faults, one each."""
        with self._lock:
            self._planned[method, suffix] = list(faults)

    def seen(self, method: str, suffix: str) -> int:
        """How many such requests have come."""
        with self._lock:
            return sum(m == method and path.endswith(suffix) for m, path in self._seen)

    def fault(self, method: str, path: str) -> Fault:
        """What this request is to suffer."""
        with self._lock:
            self._seen.append((method, path))
            for (planned, suffix), faults in self._planned.items():
                if planned == method and path.endswith(suffix) and faults:
                    return faults.pop(0)
        return Fault()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - its types
        """A client that went away, or a server that did, is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def pass_on(self) -> None:
        fault = self.server.fault(self.command, urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length", 0))
        if fault.reset_request_at is not None:
            self.rfile.read(min(length, fault.reset_request_at))
            self._reset()
            return
        body = self.rfile.read(length)
        if fault.refuse is not None:
            status, code = fault.refuse
            refusal = f"<Error><Code>{code}</Code></Error>".encode()
            self._answer(status, [("Content-Length", str(len(refusal)))], refusal)
            return
        try:
            status, headers, content = self._ask(body)
        except OSError:  # it is down
            self._reset()
            return
        if fault.lose_answer:
            self._reset()
        elif fault.reset_answer_at is not None:
            self._answer(status, headers, content[: fault.reset_answer_at])
            self._reset()
        else:
            self._answer(status, headers, content)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        with contextlib.closing(upstream):
            wanted = {n: v for n, v in self.headers.items() if n.lower() not in _NOT_PASSED_ON}
            upstream.request(self.command, self.path, body, wanted)
            answer = upstream.getresponse()
            content = answer.read()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in _NOT_PASSED_ON]
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(content))))
        return answer.status, headers, content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        """Close with RST; what was sent may be lost with it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()  # it holds the socket open
        self.connection.close()

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = pass_on  # noqa: N815 - its names


@contextlib.contextmanager
def faulty_proxy(server: S3Server) -> Iterator[tuple[FaultyProxy, S3Server]]:
    """A proxy, and the server as it is seen through it."""
    proxy = FaultyProxy(server.endpoint)
    serving = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        seen = S3Server(
            endpoint=proxy.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            server=server.server,
        )
        yield proxy, seen
    finally:
        proxy.shutdown()
        serving.join()
        proxy.server_close()
