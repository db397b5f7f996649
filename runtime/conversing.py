"""A request whose connection then carries bytes both ways, as ``/exec/{id}/start`` does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from runtime.errors import EngineError, EngineUnavailableError
from runtime.executing import READ_BYTES
from runtime.reaching import CONNECT_SECONDS

OK = 200


class Conversation:
    """Bytes both ways with an engine. The request asks for no upgrade: Docker and Podman then
    answer 200 and hand the connection over all the same.
    """

    def __init__(self, path: str, url: str, body: Mapping[str, Any], *, operation: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(CONNECT_SECONDS)
        connection = HTTPConnection("localhost")
        try:
            self._socket.connect(path)
            self._socket.settimeout(None)
            connection.sock = self._socket.dup()  # http.client closes its own when it likes
            connection.request("POST", url, json.dumps(body), {"Content-Type": "application/json"})
            self._answer = connection.getresponse()
            if self._answer.status != OK:
                raise EngineError(operation, _message(self._answer.read()))
        except (OSError, HTTPException) as error:
            self._socket.close()
            raise EngineUnavailableError(path, str(error)) from error
        except EngineError:
            self.close()
            raise
        finally:
            connection.close()

    def send(self, chunks: Iterable[bytes]) -> threading.Thread:
        """Send in the background, then say that there is no more.

        The other side may stop listening at any time: what is left is then dropped.
        """

        def pump() -> None:
            with suppress(OSError):
                for chunk in chunks:
                    self._socket.sendall(chunk)
                self._socket.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=pump, name="stdin of a command", daemon=True)
        thread.start()
        return thread

    def received(self) -> Iterator[bytes]:
        """Yield what comes. Raises EngineUnavailableError if the connection breaks."""
        try:
            while chunk := self._answer.read1(READ_BYTES):
                yield chunk
        except (OSError, ValueError, HTTPException) as error:
            raise EngineUnavailableError(self._path, str(error)) from error

    def close(self) -> None:
        """Hang up, waking whoever reads or writes."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._answer.close()


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError):
        return body.decode(errors="replace")
