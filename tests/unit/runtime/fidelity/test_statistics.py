from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.fidelity.statistics import dump_statistics

HEADER = bytes.fromhex("4059105506330957")


def image(message: str) -> bytes:
    body = bytes.fromhex(message)
    return HEADER + len(body).to_bytes(4, "little") + body


def test_the_dumps_numbers_are_named() -> None:
    # field 1 of the entry, 14 bytes: 1: 100877, 2: 93536, 3: 528, 5: 50, 7: 34
    told = dump_statistics(image("0a0f" "088d9406" "10e0da05" "189004" "2832" "3822"))  # fmt: skip

    assert told == {
        "freezing_microseconds": 100_877,
        "frozen_microseconds": 93_536,
        "memory_dump_microseconds": 528,
        "pages_scanned": 50,
        "pages_written": 34,
    }


@pytest.mark.parametrize(
    "damaged", [b"", b"\0" * 40, image("1200"), image("0aff"), image("0d00000000"), HEADER]
)
def test_what_looks_otherwise_tells_nothing(damaged: bytes) -> None:
    assert dump_statistics(damaged) == {}


@given(st.binary(max_size=60))
def test_no_image_is_an_error(noise: bytes) -> None:
    dump_statistics(HEADER + len(noise).to_bytes(4, "little") + noise)
