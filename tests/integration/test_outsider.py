"""What somebody gets who reaches the network of an installation, and has no login: nothing.

Flower, which has a login of its own, is tried in test_flower.py, users in test_intruder.py.
"""

from __future__ import annotations

import json
import sys
from typing import Any, cast

import pytest

from tests.fleet import Fleet
from tests.leaks import nothing_leaked

pytestmark = pytest.mark.integration

METRICS_PORT = 9464
# asks each (method, URL) of its argument; prints their statuses and answers
ASK = """
import json, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
found = []
for method, url in json.loads(sys.argv[1]):
    data = b"x" if method in ("POST", "PUT") else None
    try:
        answer = opener.open(urllib.request.Request(url, data=data, method=method), timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        found.append([answer.status, answer.read().decode(errors="replace")])
print(json.dumps(found))
"""
# tries each URL of its arguments; prints what Redis says
KNOCK = """
import json, sys
from redis import Redis
from redis.exceptions import RedisError
said = []
for url in sys.argv[1:]:
    try:
        said.append(repr(Redis.from_url(url, protocol=2).keys()))
    except RedisError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def outside(fleet: Fleet, program: str, *words: str) -> Any:  # noqa: ANN401 - JSON
    """What a program prints that runs on host b's network, with no setting of ours."""
    clean = ("env", "-i", f"PATH={sys.prefix}/bin")
    command = ("exec", "b", "--", *clean, sys.executable, "-c", program, *words)
    return json.loads(fleet.lab.call(*command).stdout)


def asked(fleet: Fleet, *requests: tuple[str, str]) -> list[tuple[int, str]]:
    return [(status, text) for status, text in outside(fleet, ASK, json.dumps(requests))]


def test_redis_lets_nobody_in_without_a_password_and_notes_who_guesses(fleet: Fleet) -> None:
    place = fleet.lab.state["hub"]["redis"]["url"].rpartition("@")[2]
    with fleet.lab.redis() as redis:
        redis.acl_log_reset()
    logins = ("", ":guessed@", "default:guessed@", "admin:guessed@")
    said = outside(fleet, KNOCK, *(f"redis://{login}{place}" for login in logins))
    assert "Authentication required" in said[0]
    assert ["invalid username" in text for text in said[1:]] == [True, True, True]
    with fleet.lab.redis() as redis:
        noted = cast("list[dict[str, Any]]", redis.acl_log())
    assert {line["username"] for line in noted if line["reason"] == "auth"} == {"default", "admin"}


def test_the_store_answers_nobody_without_keys(fleet: Fleet) -> None:
    minio = fleet.lab.state["hub"]["minio"]
    bucket = f"{minio['endpoint']}/{minio['bucket']}"
    requests = [(method, f"{bucket}/checkpoints/web") for method in ("GET", "PUT", "DELETE")]
    requests += [("GET", bucket), ("GET", minio["endpoint"]), ("GET", f"{bucket}?policy")]
    for (method, url), (status, answer) in zip(requests, asked(fleet, *requests), strict=True):
        assert (status, "AccessDenied" in answer) == (403, True), f"{method} {url}: {answer}"


def test_metrics_can_be_read_where_they_are_served_and_nothing_done(fleet: Fleet) -> None:
    state = fleet.lab.state
    places = [f"http://{state[part]['address']}:{METRICS_PORT}" for part in ("hub",)]
    places += [f"http://{host['address']}:{METRICS_PORT}" for host in state["hosts"].values()]
    requests = [("GET", f"{place}/metrics") for place in places]
    for (_, url), (status, text) in zip(requests, asked(fleet, *requests), strict=True):
        assert status == 200
        assert "podferry_build_info" in text
        nothing_leaked(fleet.lab.secrets, [(url, text)])
    changes = [(method, f"{place}/metrics") for place in places for method in ("PUT", "DELETE")]
    assert {status for status, _ in asked(fleet, *changes)} <= {405, 501}


def test_a_host_listens_to_nothing_else(fleet: Fleet) -> None:
    """Podman's socket is no port, and a worker takes its orders from Redis."""
    for host in fleet.hosts:
        lines = fleet.lab.call("exec", host, "--", "ss", "-ltnH").stdout.splitlines()
        ports = {line.split()[3].rpartition(":")[2] for line in lines}
        assert ports == {str(METRICS_PORT)}
