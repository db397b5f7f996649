"""Rates as people type them."""

from __future__ import annotations

import re
from decimal import Decimal

_RATE = re.compile(r"(?P<number>\d{1,12}(?:\.\d{1,6})?)(?P<unit>[KMG]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_rate(value: object) -> object:
    """``NUMBER[K|M|G]`` in bytes per second, powers of 1024; ``off`` is None.

    What is no text is returned as it is, for pydantic to judge. Raises ValueError.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() == "off":
        return None
    match = _RATE.fullmatch(text)
    rate = int(Decimal(match["number"]) * _FACTORS[match["unit"].upper()]) if match else 0
    if rate < 1:
        raise ValueError(
            f"it must be NUMBER[K|M|G] bytes per second, as 50M, or off; not {value!r}"
        )
    return rate
