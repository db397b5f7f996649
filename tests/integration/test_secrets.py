"""Secrets that pass through a fleet show up nowhere that others can read.

Every lab, installation and Flower of the tests is searched like this in the end (tests/leaks.py);
here it is shown that there is something to find them in.
"""

from __future__ import annotations

import json
import secrets

import pytest

from tests.fleet import IMAGE, Fleet, Workload
from tests.leaks import PLANTED, logs, nothing_leaked, redis_content

pytestmark = pytest.mark.integration


def test_secrets_are_in_no_record_no_log_and_no_output(fleet: Fleet, workload: Workload) -> None:
    own = secrets.token_hex(16)
    shown = []
    given = ("-e", f"TOKEN={own}", "-e", f"PLANTED={PLANTED}")
    for command in (
        ("up", IMAGE, "--name", workload.name, "--host", "a", *given),
        ("migrate", workload.name, "--to", "b"),
        ("status", "--workload", workload.name, "--limit", "1", "-o", "json"),
        ("ps", "-o", "json"),
        ("checkpoints", "ls", workload.name, "-o", "json"),
    ):
        done = fleet.run(*command)
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout + done.stderr)
    assert workload.sh("b", "echo $TOKEN $PLANTED") == f"{own} {PLANTED}\n"

    places = dict(logs(fleet.lab.dir / "logs"))
    with fleet.lab.redis() as redis:
        places |= dict(redis_content(redis))
    places["command line"] = "\n".join(shown)

    assert any(place.startswith("key podferry:workflow:migrate-") for place in places)
    (moved,) = (w["id"] for w in json.loads(shown[2]) if w["workload"] == workload.name)
    assert workload.name in places["command line"]
    assert all(moved in places[f"{host}-worker.log"] for host in fleet.hosts)
    hidden = fleet.lab.secrets
    assert len(hidden) >= 4  # of Redis, of the store, of archives, of the container
    nothing_leaked(hidden | {"another": own}, places.items())
