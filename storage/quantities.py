"""Durations and sizes as people write them in settings, flags and labels."""

import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MAX_DAYS = 36500


def parse_duration(text: str) -> timedelta:
    """`90s`, `45m`, `12h`, `7d`, `2w`, or several of them (`1d12h`). Raises ValueError."""
    parts = re.findall(r"(\d{1,9})([smhdw])", text.lower())
    if "".join(number + unit for number, unit in parts) != text.lower() or not parts:
        raise ValueError(f"{text!r} is no duration; write 90s, 45m, 12h, 7d or 2w")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= _MAX_DAYS * _SECONDS["d"]:
        raise ValueError(f"{text!r} must be more than nothing and at most {_MAX_DAYS}d")
    return timedelta(seconds=seconds)


def parse_bytes(text: str) -> int:
    """`NUMBER[b|k|m|g|t]` in bytes, powers of 1024. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,15})([bkmgt]?)", text.lower())
    if found is None:
        raise ValueError(f"{text!r} is no size; write NUMBER[b|k|m|g|t], such as 50g")
    return int(found[1]) * _BYTES[found[2]]
