"""Reading what a command in a container says."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from runtime.errors import ExecFailedError
from runtime.specs import OutputChunk

READ_BYTES = 1 << 16

# An engine that cannot start a command says so in place of the command, with one of these codes.
NOT_STARTED_CODES = frozenset({125, 126, 127})
_NOT_STARTED = re.compile(rb"(Error: .*OCI |OCI runtime exec failed)", re.DOTALL)

# The OCI runtime's own processes lost each other before they came to the command: seen of runc 1.1
# on a busy machine, and gone at the next try.
_CUT_SHORT = re.compile(r"waiting for init preliminary setup|read init-p")
START_TRIES = 3

_FRAME = struct.Struct(">BxxxL")  # stream number, three zero bytes, payload length
_STDERR = 2


class Readable(Protocol):
    """What an answer is read from."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, waiting for the first byte; nothing at the end."""


def read_before(
    source: Readable, timeout_seconds: float, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Yield the answer as it arrives.

    Raises TimeoutError once ``timeout_seconds`` have passed; of a command that keeps talking this
    is noticed at its next word.
    """
    deadline = clock() + timeout_seconds
    while chunk := source.read1(READ_BYTES):
        yield chunk
        if clock() > deadline:
            raise TimeoutError


def demultiplex(chunks: Iterable[bytes]) -> Iterator[OutputChunk]:
    """Yield the payloads of Docker's attach stream (Engine API, "Stream format") in order."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _FRAME.size:
            number, length = _FRAME.unpack_from(buffer)
            end = _FRAME.size + length
            if len(buffer) < end:
                break
            yield OutputChunk(
                stream="stderr" if number == _STDERR else "stdout",
                data=bytes(buffer[_FRAME.size : end]),
            )
            del buffer[:end]


def from_terminal(chunks: Iterable[bytes]) -> Iterator[OutputChunk]:
    """Yield what a terminal shows; it has one stream."""
    return (OutputChunk(stream="stdout", data=chunk) for chunk in chunks)


def never_started(exit_code: int, output: bytes) -> bool:
    """Tell an engine's own complaint from a command that ended with such a code itself."""
    return exit_code in NOT_STARTED_CODES and _NOT_STARTED.match(output) is not None


def cut_short(error: BaseException) -> bool:
    """Whether a command did not start for a reason that passes: none of it has run."""
    return isinstance(error, ExecFailedError) and _CUT_SHORT.search(error.reason) is not None
