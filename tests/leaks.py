"""Secrets that tests plant, and the places where none of them may ever be seen.

Labs, installations and Flowers are searched when they are taken down, whatever was tried in them.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from redis import Redis

PLANTED = f"planted-{secrets.token_hex(12)}"
ENVIRONMENT = {"PLANTED": PLANTED}  # of the containers that tests make
# What came with a request, a container's environment too: kept until it is carried out, or for the
# hour in which a failed one may be tried again (tasks/records.py).
KEPT = "key podferry:payload:"
AROUND = 80  # characters that are shown before and behind a secret


def nothing_leaked(hidden: Mapping[str, str], places: Iterable[tuple[str, str]]) -> None:
    """Search places, by name with their text, for secrets by name. Raises AssertionError."""
    forms = {name: re.compile("|".join(_forms(value))) for name, value in hidden.items()}
    found = [
        f"{name} in {place}: {_shown(text, match, forms.values())}"
        for place, text in places
        if not place.startswith(KEPT)
        for name, pattern in forms.items()
        if (match := pattern.search(text))
    ]
    assert not found, "\n".join(["secrets can be read", *found])


def logs(directory: Path) -> Iterator[tuple[str, str]]:
    """Every log in a directory."""
    for path in sorted([*directory.glob("*.log"), *directory.glob("log")]):
        yield path.name, path.read_text(errors="replace")


def redis_content(redis: Redis) -> Iterator[tuple[str, str]]:
    """Every key of a Redis with all that it holds."""
    read: dict[object, Callable[[bytes], object]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
    }
    for key in redis.scan_iter(count=1000):
        kind = redis.type(key)
        if kind != b"none":  # it expired meanwhile
            yield f"key {key.decode()}", f"{key!r} {read[kind](key)!r}"


def archive_keys(file: Path) -> dict[str, str]:
    """The keys in a key file, as it spells them."""
    keys = json.loads(file.read_text())["keys"] if file.exists() else []
    return {f"archive key {key['id']}": key["secret"] for key in keys}


def _forms(value: str) -> list[str]:
    """A secret as it is, in a URL, and wherever in a text that was encoded with base64."""
    assert len(value) > 8, "too short to be told from other text"
    plain = value.encode()
    forms = {value, quote(value, safe="")}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain).decode()
        # the characters at both ends depend on what stands beside it
        forms.add(encoded[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6])
    return [re.escape(form) for form in sorted(forms)]


def _shown(text: str, match: re.Match[str], hidden: Iterable[re.Pattern[str]]) -> str:
    """What stands around a secret, without it and others."""
    around = text[max(0, match.start() - AROUND) : match.end() + AROUND]
    for pattern in hidden:
        around = pattern.sub("***", around)
    return around
