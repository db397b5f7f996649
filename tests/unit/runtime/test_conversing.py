from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime import EngineError, EngineUnavailableError
from runtime.conversing import Conversation


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """One connection: read the request's head, answer, and collect what comes after it."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)
                while chunk := connection.recv(65536):
                    heard.append(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        yield heard
        thread.join()


def test_bytes_go_both_ways(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b"HTTP/1.1 200 OK\r\n\r\nhello") as heard:
        talk = Conversation(str(tmp_path / "s"), "/start", {"Tty": True}, operation="exec")
        talk.send([b"one", b"two"]).join()
        assert b"".join(talk.received()) == b"hello"
        talk.close()

    assert heard[0].startswith(b"POST /start HTTP/1.1\r\n")
    assert b"".join(heard).endswith(b'{"Tty": true}onetwo')


@pytest.mark.parametrize(
    ("body", "reason"), [(b'{"message": "no such exec"}', "no such exec"), (b"oops", "oops")]
)
def test_a_refusal_is_told_in_the_engines_words(tmp_path: Path, body: bytes, reason: str) -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with (
        answering(tmp_path / "s", answer),
        pytest.raises(EngineError) as caught,
    ):
        Conversation(str(tmp_path / "s"), "/start", {}, operation="exec")

    assert caught.value.reason == reason


@pytest.mark.parametrize("answer", [b"\r\n", b"SSH-2.0\r\n"])
def test_what_is_no_answer_is_an_engine_that_is_away(tmp_path: Path, answer: bytes) -> None:
    with (
        answering(tmp_path / "s", answer),
        pytest.raises(EngineUnavailableError),
    ):
        Conversation(str(tmp_path / "s"), "/start", {}, operation="exec")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        Conversation(str(tmp_path / "none"), "/start", {}, operation="exec")

    assert caught.value.socket == str(tmp_path / "none")
