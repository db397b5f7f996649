from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import (
    ContainerNotFoundError,
    DockerRuntime,
    EngineError,
    EngineUnavailableError,
    PodmanRuntime,
    RestoreFailedError,
    RestoreSpec,
)
from runtime.errors import RuntimeEngineError
from tests.unit.runtime.server import Answer, document, engine, refusal


def versioned(method: str, path: str, body: bytes) -> Answer:
    if path.endswith("/version"):
        return document({"ApiVersion": "1.41"})
    if path.endswith("/containers/gone/json"):
        return refusal(404, 'no container with name or ID "gone" found: no such container')
    if path.endswith("/containers/odd/json"):
        return refusal(500, "the database is locked")
    if "/networks/" in path:
        return refusal(404, "unable to find network with name or ID n: network not found")
    return refusal(404, "no such file or directory")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[PodmanRuntime]:
    with engine(tmp_path / "s", versioned) as path:
        runtime = PodmanRuntime(path)
        yield runtime
        runtime.close()


def test_a_missing_socket_is_named_with_the_reason(tmp_path: Path) -> None:
    path = str(tmp_path / "none.sock")

    with pytest.raises(EngineUnavailableError) as caught:
        DockerRuntime(f"unix://{path}").ping()

    assert caught.value.socket == path
    assert caught.value.reason == "No such file or directory"
    assert caught.value.__cause__ is not None


def test_a_socket_without_an_engine_is_unavailable_for_libpod_too(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    with pytest.raises(EngineUnavailableError) as caught:
        PodmanRuntime(str(path)).capabilities()

    assert caught.value.reason == "Connection refused"


def test_the_reason_is_the_connections_even_while_another_error_is_handled(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError) as caught:  # noqa: PT012 - the nesting is the point
        try:
            raise ValueError("something else")
        except ValueError:
            DockerRuntime(str(tmp_path / "none.sock")).ping()

    assert caught.value.reason == "No such file or directory"


def test_an_unknown_container_has_its_own_error(runtime: PodmanRuntime) -> None:
    with pytest.raises(ContainerNotFoundError) as caught:
        runtime.inspect("gone")

    assert caught.value.container == "gone"


def test_a_path_that_is_not_there_is_no_missing_container(runtime: PodmanRuntime) -> None:
    with pytest.raises(EngineError, match="no such file"), runtime.get_archive("here", "/nowhere"):
        pass


def test_any_other_refusal_keeps_the_engines_words(runtime: PodmanRuntime) -> None:
    with pytest.raises(EngineError) as caught:
        runtime.inspect("odd")

    assert caught.value.reason == "the database is locked"


@pytest.mark.parametrize(
    "error",
    [BrokenPipeError("of the source"), ConnectionResetError("of the source"), KeyError("k")],
)
def test_an_uploads_own_exception_comes_out_as_it_was(
    runtime: PodmanRuntime, error: Exception
) -> None:
    def source() -> Iterator[bytes]:
        yield b"x" * 1000
        raise error

    with pytest.raises(type(error)) as caught:
        runtime.restore(source(), RestoreSpec(), archive="c1")
    assert caught.value is error

    with pytest.raises(type(error)) as caught:
        runtime.put_archive("here", "/", source())
    assert caught.value is error


def test_our_own_errors_in_a_source_are_not_taken_for_the_restores(runtime: PodmanRuntime) -> None:
    error = EngineUnavailableError("elsewhere", "it went away")

    def source() -> Iterator[bytes]:
        yield b"x"
        raise error

    with pytest.raises(RuntimeEngineError) as caught:
        runtime.restore(source(), RestoreSpec(), archive="c1")

    assert caught.value is error


def test_a_lost_answer_to_a_restore_is_a_failed_restore(tmp_path: Path) -> None:
    def vanish(method: str, path: str, body: bytes) -> Answer:
        raise ConnectionAbortedError

    with (
        engine(tmp_path / "s", vanish) as path,
        pytest.raises(RestoreFailedError) as caught,
    ):
        PodmanRuntime(path).restore([b"tar"], RestoreSpec(), archive="c1")

    assert isinstance(caught.value.__cause__, EngineUnavailableError)


def test_a_restore_that_never_connected_changed_nothing(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError):
        PodmanRuntime(str(tmp_path / "no")).restore([b"tar"], RestoreSpec(), archive="c1")


def test_a_runtime_that_was_used_works_after_a_fork(runtime: PodmanRuntime) -> None:
    runtime.network_exists("n")

    child = os.fork()
    if child == 0:
        os._exit(1 if runtime.network_exists("n") else 0)
    _, status = os.waitpid(child, 0)

    assert status == 0


def test_an_engine_that_refuses_the_handshake_is_unavailable(tmp_path: Path) -> None:
    with (
        engine(tmp_path / "s", lambda *_: refusal(500, "still starting")) as path,
        pytest.raises(EngineUnavailableError),
    ):
        DockerRuntime(path).ping()


def test_an_image_that_the_engine_refuses_late_is_not_loaded(tmp_path: Path) -> None:
    def respond(method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        return document({"error": "no space left on device"})

    with engine(tmp_path / "s", respond) as path:
        runtime = DockerRuntime(path)
        with pytest.raises(EngineError, match="no space left on device"):
            runtime.load_image([b"tar"])
        runtime.close()
