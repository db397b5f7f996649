from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from runtime import ExecFailedError, ExecStream, OutputChunk, Stream


def test_closing_wakes_the_thread_that_waits() -> None:
    hung_up = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        hung_up.wait()
        raise ConnectionResetError

    stream = Stream(items(), hung_up.set)
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    stream.close()
    reader.join()

    assert found in ([], [1])
    assert list(stream) == []


def test_an_error_before_the_end_is_an_error_and_hangs_up() -> None:
    hung_up = []

    def items() -> Iterator[int]:
        yield 1
        raise KeyError("k")

    stream = Stream(items(), lambda: hung_up.append(1))

    assert next(stream) == 1
    with pytest.raises(KeyError):
        next(stream)
    stream.close()
    assert hung_up == [1]


def test_the_end_hangs_up_and_so_does_leaving() -> None:
    hung_up = []
    ended, left = (Stream(iter("ab"), lambda: hung_up.append(1)) for _ in range(2))

    assert list(ended.through(lambda items: (item.upper() for item in items))) == ["A", "B"]
    with left:
        assert next(left) == "a"

    assert hung_up == [1, 1]


def test_an_engines_complaint_in_place_of_a_command_is_an_error() -> None:
    complaint = b"Error: runc: OCI runtime attempted to invoke a command that was not found"
    chunks = [OutputChunk(stream="stderr", data=complaint)]

    stream = ExecStream(iter(chunks), lambda: None, lambda: 127, container="c", line="x")

    with pytest.raises(ExecFailedError, match="was not found"):
        list(stream)
    with pytest.raises(ExecFailedError):
        _ = stream.exit_code
