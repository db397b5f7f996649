"""The connection to one engine's socket: opened when first used, and again after a fork."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from docker import APIClient
from docker.errors import DockerException
from requests import Response

from runtime.errors import EngineUnavailableError, RuntimeEngineError
from runtime.reaching import CONNECT_SECONDS, require_engine
from runtime.streams import Stream, hang_up
from runtime.translate import checked, root_reason, translating
from runtime.upload import Upload

HANDSHAKE_SECONDS = 15
ANSWER_SECONDS = 600  # Podman answers nothing about a container while its checkpoint is written
CHUNK_BYTES = 1 << 20

T = TypeVar("T")


class EngineConnection:
    """Calls to a Docker-compatible API. Constructing it touches nothing.

    ``socket`` is a path or a ``unix://`` URL. ``checkpoint_probe`` raises when this host cannot
    checkpoint; only a backend that can checkpoint calls it.
    """

    def __init__(self, socket: str, checkpoint_probe: Callable[[], None] | None = None) -> None:
        self.socket = socket.removeprefix("unix://")
        self._checkpoint_probe = checkpoint_probe
        self._client: tuple[int, APIClient] | None = None

    def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        if self._client is not None:
            self._client[1].close()
            self._client = None

    @property
    def _api(self) -> APIClient:
        if self._client is None or self._client[0] != os.getpid():
            self._client = (os.getpid(), self._connect())
        return self._client[1]

    def _connect(self) -> APIClient:
        try:
            client = APIClient(
                base_url=f"unix://{self.socket}", version="auto", timeout=HANDSHAKE_SECONDS
            )
        except DockerException as error:
            raise EngineUnavailableError(self.socket, root_reason(error)) from error
        client.timeout = ANSWER_SECONDS
        return client

    def _translating(
        self,
        operation: str,
        on: Mapping[str, RuntimeEngineError] | None = None,
        upload: Upload | None = None,
    ) -> AbstractContextManager[None]:
        require_engine(self.socket)
        return translating(self.socket, operation, on, upload)

    def _translated(self, items: Iterable[T], operation: str) -> Iterator[T]:
        with translating(self.socket, operation):
            yield from items

    def _url(self, path: str) -> str:
        return f"{self._api.base_url}/v{self._api.api_version}{path}"

    @contextmanager
    def _download(
        self,
        operation: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        on: Mapping[str, RuntimeEngineError],
    ) -> Iterator[Iterator[bytes]]:
        """GET ``path`` as a stream of at most CHUNK_BYTES each; leaving early hangs up."""
        with self._open("GET", operation, path, params=params, on=on) as response:
            yield self._translated(response.iter_content(CHUNK_BYTES), operation)

    def _stream(
        self,
        operation: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        on: Mapping[str, RuntimeEngineError],
    ) -> Stream[bytes]:
        """GET ``path`` as a stream that may be silent for as long as it likes."""
        response = self._open("GET", operation, path, params=params, on=on, answer_seconds=None)
        chunks = self._translated(response.iter_content(CHUNK_BYTES), operation)
        return Stream(chunks, lambda: hang_up(response))

    def _open(
        self,
        method: str,
        operation: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        upload: Upload | None = None,
        on: Mapping[str, RuntimeEngineError] | None = None,
        answer_seconds: float | None = ANSWER_SECONDS,
    ) -> Response:
        """Send a request and return its successful answer, the body unread."""
        with self._translating(operation, on, upload):
            response = self._api.request(
                method,
                self._url(path),
                params={k: v for k, v in (params or {}).items() if v not in (None, "")},
                data=upload,
                stream=True,
                timeout=(CONNECT_SECONDS, answer_seconds),
                headers={"Accept-Encoding": "identity", **(headers or {})},
            )
            return checked(response)
