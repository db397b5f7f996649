"""An engine in another process, as a worker sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection
from typing import Any, cast

from runtime import (
    CheckpointRuntime,
    CheckpointSpec,
    CheckpointStream,
    EngineUnavailableError,
    RestoreSpec,
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call; with ``sends`` its stream follows in pieces, and None after the last of them."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    sends: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call came to; where it gives a stream, pieces follow, and None after the last."""

    value: Any = None
    error: Exception | None = None


class RemoteEngine:
    """Passes every call on, each over a connection of its own, which survives a fork.

    What has no method here gives and takes plain values.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Pass a call on that neither sends nor gives a stream."""
        if method.startswith("_"):
            raise AttributeError(method)

        def call(*arguments: object, **options: object) -> object:
            return self._call(Request(method=method, arguments=arguments, options=options))

        return call

    @contextmanager
    def checkpoint(self, container: str, spec: CheckpointSpec) -> Iterator[CheckpointStream]:
        """Read the archive; leaving early hangs up."""
        request = Request(method="checkpoint", arguments=(container, spec))
        with self._reading(request) as (connection, statistics):
            yield CheckpointStream(_pieces(connection, self._socket), statistics)

    @contextmanager
    def save_image(self, name: str) -> Iterator[Iterator[bytes]]:
        """Read an image."""
        with self._reading(Request(method="save_image", arguments=(name,))) as (connection, _):
            yield _pieces(connection, self._socket)

    def load_image(self, chunks: Iterable[bytes]) -> None:
        """Send an image."""
        self._call(Request(method="load_image", sends=True), chunks)

    def put_archive(self, container: str, path: str, chunks: Iterable[bytes]) -> None:
        """Send files."""
        self._call(Request(method="put_archive", arguments=(container, path), sends=True), chunks)

    def restore(self, chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        """Send an archive; what ends its stream early hangs up."""
        options = {"spec": spec, "archive": archive}
        return str(self._call(Request(method="restore", options=options, sends=True), chunks))

    def forget_connections(self, addresses: Iterable[str]) -> int:
        """Know of as many as the engine does."""
        request = Request(method="forget_connections", arguments=(tuple(addresses),))
        return int(self._call(request))

    @contextmanager
    def kept_apart(
        self, networks: Iterable[str], *, everyone: bool = False
    ) -> Iterator[Callable[[], None]]:
        """Cut nobody off: nobody talks there."""
        yield lambda: None

    def _call(self, request: Request, chunks: Iterable[bytes] = ()) -> Any:  # noqa: ANN401
        with self._connected() as connection:
            with _unavailable(self._socket):
                connection.send(request)
            for chunk in chunks:  # its errors are the caller's
                with _unavailable(self._socket):
                    connection.send(chunk)
            with _unavailable(self._socket):
                if request.sends:
                    connection.send(None)
                return _value(connection.recv())

    @contextmanager
    def _reading(self, request: Request) -> Iterator[tuple[Connection[Any, Any], Any]]:
        with self._connected() as connection:
            with _unavailable(self._socket):
                connection.send(request)
                value = _value(connection.recv())
            yield connection, value

    def _connected(self) -> Connection[Any, Any]:
        with _unavailable(self._socket):
            return Client(self._socket, "AF_UNIX")


def remote_engine(socket: str) -> CheckpointRuntime:
    """The engine that is served there."""
    return cast("CheckpointRuntime", RemoteEngine(socket))


def _pieces(connection: Connection[Any, Any], socket: str) -> Iterator[bytes]:
    while True:
        with _unavailable(socket):
            piece = connection.recv()
        if piece is None:
            return
        yield piece


def _value(answer: Answer) -> Any:  # noqa: ANN401 - whatever the call gives
    if answer.error is not None:
        raise answer.error
    return answer.value


@contextmanager
def _unavailable(socket: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise EngineUnavailableError(socket, str(error) or type(error).__name__) from error
