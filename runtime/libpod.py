"""A thin client of Podman's own REST API, for what the Docker-compatible one does not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from requests import Response
from requests_unixsocket import Session  # type: ignore[import-untyped]  # it ships no types

from runtime.errors import RuntimeEngineError
from runtime.reaching import CONNECT_SECONDS, require_engine
from runtime.translate import checked, translating
from runtime.upload import Upload

API = "/v5.0.0/libpod"  # every 5.x serves it
ANSWER_SECONDS = 3600  # a checkpoint's first byte, or a restore's answer, comes when all is done
CHUNK_BYTES = 1 << 20


class LibpodClient:
    """Requests to ``socket`` (a path); a session each, so that threads and forks share nothing."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Mapping[str, Any] | None = None,
        upload: Upload | None = None,
        body: Mapping[str, Any] | None = None,
        on: Mapping[str, RuntimeEngineError] | None = None,
    ) -> Iterator[Response]:
        """Send a request and give its successful answer, the body unread.

        Leaving the context before the body's end hangs up. Raises as ``translating`` does.
        """
        url = f"http+unix://{quote_plus(self.socket)}{API}{quote(path)}"
        require_engine(self.socket)
        with Session() as session:
            session.trust_env = False  # no proxy leads to a socket; to look for one costs a fifth
            with translating(self.socket, operation, on, upload):
                response = session.request(
                    method,
                    url,
                    params=_query(params or {}),
                    data=upload,
                    json=body,
                    stream=True,
                    headers={"Content-Type": "application/x-tar"} if upload else None,
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                )
                checked(response)
            with response:
                yield response

    def json(
        self,
        path: str,
        *,
        operation: str,
        method: str = "GET",
        params: Mapping[str, Any] | None = None,
        upload: Upload | None = None,
        body: Mapping[str, Any] | None = None,
        on: Mapping[str, RuntimeEngineError] | None = None,
    ) -> dict[str, Any]:
        """Send a request and return the JSON object that answers it."""
        request = self.request(
            method, path, operation=operation, params=params, upload=upload, body=body, on=on
        )
        with request as response:
            answer: dict[str, Any] = self.parsed(response, operation)
            return answer

    def list(self, path: str, **params: object) -> list[dict[str, Any]]:
        """Ask for a list, such as ``/containers/json``."""
        operation = f"list of {path.split('/')[1]}"
        answer: object = self.json(path, operation=operation, params=params)
        return [e for e in answer if isinstance(e, dict)] if isinstance(answer, list) else []

    def parsed(self, response: Response, operation: str) -> Any:  # noqa: ANN401 - any JSON
        """Read an answer's body as JSON."""
        with translating(self.socket, operation):
            return response.json()

    def chunks(self, response: Response, operation: str) -> Iterator[bytes]:
        """Yield an answer's body in pieces of at most CHUNK_BYTES."""
        with translating(self.socket, operation):
            yield from response.iter_content(CHUNK_BYTES)

    def lines(self, response: Response, operation: str) -> Iterator[bytes]:
        """Yield an answer's lines as they come, without empty ones."""
        with translating(self.socket, operation):
            yield from filter(None, response.iter_lines())


def _query(params: Mapping[str, Any]) -> dict[str, Any]:
    """Spell booleans as Go reads them and leave out what is not set."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in params.items()
        if value not in ("", None)
    }
