"""Records as YAML: a subset that is easy to write and that every reader agrees on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str | int | float | bool | None"

# Strings that no version of YAML takes for anything else go without quotes.
_BARE = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[a-z][\w./-]*", re.ASCII | re.I)

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def to_yaml(value: Plain) -> str:
    """Spell what JSON could hold as a YAML document."""
    return "\n".join(_lines(value))


def _lines(value: Plain) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner, "  ")
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _item(inner)
    else:
        yield _scalar(value)


def _entry(key: str, value: Plain, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield key
        yield from (indent + line for line in _lines(value))
    else:
        yield f"{key} {_scalar(value)}"


def _item(value: Plain) -> Iterator[str]:
    for number, line in enumerate(_lines(value)):
        yield f"  {line}" if number else f"- {line}"


def _scalar(value: Plain) -> str:
    """JSON's spelling is YAML's too, except for its escapes of what lies beyond 16 bits."""
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", json.dumps(value))  # or older readers see a string
    return _UNPRINTABLE.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))
