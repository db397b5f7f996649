from __future__ import annotations

import struct

import pytest

from runtime.executing import demultiplex, never_started

MISSING = (
    b'Error: runc: exec failed: unable to start container process: exec: "nosuch": executable '
    b"file not found in $PATH: OCI runtime attempted to invoke a command that was not found\n"
)


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(payload)) + payload


@pytest.mark.parametrize("step", [1, 3, 8, 1000])
def test_frames_are_read_however_they_are_cut(step: int) -> None:
    raw = frame(1, b"out\n") + frame(2, b"") + frame(2, b"error\n")
    cut = [raw[start : start + step] for start in range(0, len(raw), step)]

    assert [(c.stream, c.data) for c in demultiplex(cut)] == [
        ("stdout", b"out\n"),
        ("stderr", b""),
        ("stderr", b"error\n"),
    ]


def test_half_a_frame_is_no_output() -> None:
    cut = [frame(1, b"whole"), frame(1, b"half")[:-1]]

    assert [chunk.data for chunk in demultiplex(cut)] == [b"whole"]


@pytest.mark.parametrize(
    ("exit_code", "output", "expected"),
    [
        (127, MISSING, True),
        (0, MISSING, False),
        (127, b"sh: nosuch: not found\n", False),
        (126, b"OCI runtime exec failed: permission denied", True),
    ],
)
def test_an_engines_complaint_is_told_from_a_commands(
    exit_code: int, output: bytes, expected: bool
) -> None:
    assert never_started(exit_code, output) is expected
