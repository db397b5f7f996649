"""A small HTTP server on a Unix socket that answers as it is told."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

Answer = tuple[int, bytes]
Respond = Callable[[str, str, bytes], Answer]


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's
        """Say nothing: tests cut connections on purpose."""


@contextmanager
def engine(path: Path, respond: Respond) -> Iterator[str]:
    """Serve ``respond(method, path, body)`` and give the socket's path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            status, body = respond(self.command, self.path, self._body())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names http.server calls

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            return body

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "test"

    with _UnixServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield str(path)
        finally:
            server.shutdown()
            thread.join()


def document(value: object, status: int = 200) -> Answer:
    """Answer with a JSON document."""
    return status, json.dumps(value).encode()


def refusal(status: int, message: str) -> Answer:
    """Answer as libpod refuses."""
    return document({"cause": message, "message": message, "response": status}, status)
