from datetime import timedelta

import pytest

from storage import parse_bytes, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("45m", timedelta(minutes=45)),
        ("12H", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("1d12h", timedelta(hours=36)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-7d", "1.5d", "0s", "7x", "7d!", "99999w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 90s|at most"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("512", 512), ("1K", 1024), ("50g", 50 << 30), ("2T", 2 << 40)]
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "g", "1.5g", "-1", "1gb", "1 g"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUMBER"):
        parse_bytes(text)
