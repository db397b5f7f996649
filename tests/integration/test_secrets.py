"""Secrets that pass through a fleet show up nowhere that others can read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from tests.fleet import IMAGE, Fleet, Workload

pytestmark = pytest.mark.integration


def test_secrets_are_in_no_record_no_log_and_no_output(fleet: Fleet, workload: Workload) -> None:
    hub = fleet.lab.state["hub"]
    token = secrets.token_hex(16)
    hidden = {
        "environment": token,
        "store key": hub["minio"]["secret_key"],
        "broker password": hub["redis"]["url"].partition("://:")[2].partition("@")[0],
    }
    shown = []
    for command in (
        ("up", IMAGE, "--name", workload.name, "--host", "a", "-e", f"TOKEN={token}"),
        ("migrate", workload.name, "--to", "b"),
        ("status", "-o", "json"),
        ("ps", "-o", "json"),
        ("checkpoints", "ls", workload.name, "-o", "json"),
    ):
        done = fleet.run(*command)
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout + done.stderr)
    assert workload.sh("b", "echo $TOKEN") == f"{token}\n"

    places = {
        "command line": "\n".join(shown),
        "worker logs": "\n".join(
            path.read_text() for path in (fleet.lab.dir / "logs").glob("*-worker.log")
        ),
    }
    with fleet.redis() as redis:
        places |= dict(_content(redis))

    assert all(workload.name in places[place] for place in ("command line", "worker logs"))
    found = [
        f"{secret} in {place}"
        for place, content in places.items()
        for secret, value in hidden.items()
        if value in content
    ]
    assert found == []


def _content(redis: Redis) -> Iterator[tuple[str, str]]:
    """Every key of a Redis with all that it holds, as text."""
    read: dict[object, Callable[[bytes], object]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
    }
    for key in redis.scan_iter():
        yield f"key {key.decode()}", f"{key!r} {read[redis.type(key)](key)!r}"
