"""Redis as a JSON file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from fakeredis import FakeRedis

SETS = Path(__file__).with_name("sets")
Content = dict[str, dict[str, Any]]


def dumped(redis: FakeRedis) -> Content:
    """Everything in it, by type and key."""
    found: Content = {"string": {}, "hash": {}, "set": {}, "zset": {}, "list": {}, "stream": {}}
    keys = cast("list[bytes]", list(redis.scan_iter()))
    for key in sorted(k.decode() for k in keys):
        kind = cast("bytes", redis.type(key)).decode()
        found[kind][key] = _text(_read(redis, kind, key))
    return found


def loaded(redis: FakeRedis, content: Content) -> None:
    """Put all of it back."""
    for key, text in content["string"].items():
        redis.set(key, text)
    for key, fields in content["hash"].items():
        redis.hset(key, mapping=fields)
    for key, members in content["set"].items():
        redis.sadd(key, *members)
    for key, scored in content["zset"].items():
        redis.zadd(key, {name: float(score) for name, score in scored})
    for key, entries in content["list"].items():
        redis.rpush(key, *entries)
    for key, stream in content["stream"].items():
        for position, fields in stream:
            redis.xadd(key, fields, id=position)


def _read(redis: FakeRedis, kind: str, key: str) -> object:
    match kind:
        case "string":
            return redis.get(key)
        case "hash":
            return redis.hgetall(key)
        case "set":
            return sorted(cast("set[bytes]", redis.smembers(key)))
        case "zset":
            return redis.zrange(key, 0, -1, withscores=True)
        case "list":
            return redis.lrange(key, 0, -1)
        case _:
            return redis.xrange(key)


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {_text(k): _text(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_text(v) for v in value]
    return value
