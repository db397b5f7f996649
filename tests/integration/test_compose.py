"""docker-compose.yml as docs/install.md says: it comes up, moves containers, and may restart."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from podferry import Outcome, StepState, Unit, Workflow
from tasks.queues import unit_task
from tests.acceptance.console import blocks, commands
from tests.fleet import Workload, eventually
from tests.lab import ROOT
from tests.stack import CHECKING, DOCUMENT, HUB, Stack, setup, stack
from workers.installation import OPERATOR

pytestmark = pytest.mark.integration

RESTARTED = ("redis", "minio", "audit", "control", "flower", "proxy", "prometheus")
SECRETS = "/etc/podferry/secrets"  # as the document has them
ENDS_SECONDS = 240  # a step that was lost is found by its lease
READ = """
import sys, urllib.request
from base64 import b64encode
url, login = sys.argv[1:]
headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(urllib.request.Request(url, headers=headers), timeout=30).read().decode())
"""
# asks for a URL without any login, whoever answers; prints the status
KNOCK = """
import ssl, sys, urllib.error, urllib.request
https = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
try:
    opener.open(sys.argv[1], timeout=30)
except urllib.error.HTTPError as error:
    print(error.code)
"""
COMPOSE = ROOT / "docker-compose.yml"
LOCKS = (ROOT / "requirements.lock", ROOT / "ops" / "images" / "podferry" / "requirements.lock")
BUILDING = ("hatchling", "tomlkit", "trove-classifiers")  # of the image alone, and left out of it


def compose(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask Compose about the file, without an engine."""
    return subprocess.run(
        [str(setup("debian.sh") / "docker-compose"), "--file", str(COMPOSE), *words],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": "/nonexistent", "PATH": os.environ["PATH"], **environment},
    )


@pytest.mark.parametrize("missing", ["PODFERRY_SECRETS", "PODFERRY_HUB"])
def test_a_variable_that_is_not_set_is_named(missing: str) -> None:
    variables = {"PODFERRY_SECRETS": "/s", "PODFERRY_HUB": "hub.example"}
    del variables[missing]
    done = compose("config", **variables)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert f"required variable {missing} is missing" in last
    assert "docs/install.md" in last


def configured() -> dict[str, Any]:
    """The file, as Compose understands it."""
    done = compose(
        *("--profile", "monitoring", "config", "--format", "json"),
        PODFERRY_SECRETS="/s",
        PODFERRY_HUB="hub.example",
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_minio_alone_reaches_what_notes_whom_it_refused() -> None:
    found = configured()
    networks = {name: set(service["networks"]) for name, service in found["services"].items()}
    assert networks.pop("minio") == {"default", "audit"}
    assert networks.pop("audit") == {"audit"}
    assert set.union(*networks.values()) == {"default"}
    assert found["networks"]["audit"]["internal"]
    assert "ports" not in found["services"]["audit"]


def test_others_images_are_pinned_and_none_is_root() -> None:
    services = configured()["services"]
    assert set(services) == {*RESTARTED, "bucket", "grafana"}
    for name, service in services.items():
        assert service["user"] in {"10001:10001", "nobody"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert service["restart"], name
        assert service.get("healthcheck") or name == "bucket"
        repository, tag = service["image"].split(":")
        assert repository.startswith("localhost/podferry") or re.search(r"\d+\.\d+\.\d+", tag), name


def test_the_image_has_the_versions_that_were_tested() -> None:
    tested, ours = (
        dict(re.findall(r"^(\S+)==(\S+)", lock.read_text(), re.MULTILINE)) for lock in LOCKS
    )
    for name in BUILDING:
        del ours[name]
    assert ours.items() <= tested.items()


def test_minio_gives_what_the_document_asks_for() -> None:
    policy = json.loads((ROOT / "ops" / "images" / "minio" / "policy.json").read_text())
    assert policy in [json.loads(block) for block in blocks(ROOT / "docs" / "storage.md", "json")]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Stack]:
    with stack() as made:
        yield made


@pytest.fixture(scope="module")
def web(fleet: Stack) -> Workload:
    """The container of the document, on host a."""
    made = Workload(fleet, "web")
    made.name = "web"
    made.start(made.spec(memory_mib=64))
    return made


def test_the_first_check_is_as_the_document_says(fleet: Stack, web: Workload) -> None:
    before = web.counting("a")
    eventually(lambda: "web" in fleet.run("ps").stdout or None, "web is not told of")
    lines = [line for line in commands(DOCUMENT) if line.startswith(CHECKING)]
    assert len(lines) == 4
    for line in lines:
        fleet.type(line)
    assert before.lives_on_in(web.counting("b"))


def test_only_redis_and_minio_are_offered_to_others(fleet: Stack) -> None:
    offered = published(fleet)
    address = fleet.lab.state["hosts"][HUB]["address"]
    assert {port for port, at in offered.items() if at == address} == {6379, 9000}
    assert {at for port, at in offered.items() if port not in {6379, 9000}} == {"127.0.0.1"}


def test_minio_notes_whom_it_refused_and_no_move(fleet: Stack, web: Workload) -> None:
    """Somebody on the network of host a, without keys; the moves until now asked for much more."""
    assert web.on("b")
    hosts = fleet.lab.state["hosts"]
    path = "/podferry/checkpoints/web"
    url = f"https://{hosts[HUB]['address']}:9000{path}"
    words = ("exec", "a", "--", "env", "-i", sys.executable, "-c", KNOCK, url)
    assert fleet.lab.call(*words).stdout == "403\n"

    def noted() -> list[dict[str, Any]]:
        text = fleet.type("docker compose logs --no-color --no-log-prefix audit")
        # Compose writes an escape sequence before each
        lines = [json.loads(line[line.index("{") :]) for line in text.splitlines()]
        return [line for line in lines if line["event"] == "refused by the store"]

    (line,) = eventually(noted, "MinIO does not tell of it")
    assert (line["path"], line["status"], line["key_proven"]) == (path, 403, False)
    assert line["remote_host"] == hosts["a"]["address"]


def published(fleet: Stack) -> dict[int, str]:
    """At which address of the hub each port is."""
    done = subprocess.run(
        fleet.on_hub("docker", "compose", "config", "--format", "json"),
        capture_output=True,
        text=True,
        check=True,
    )
    services = json.loads(done.stdout)["services"].values()
    ports = [port for service in services for port in service.get("ports", [])]
    return {int(port["published"]): port["host_ip"] for port in ports}


def test_no_container_is_root_or_may_more_than_it_must(fleet: Stack) -> None:
    script = "podman inspect $(podman ps --quiet)"
    done = subprocess.run(
        fleet.on_hub("bash", "-c", script), capture_output=True, text=True, check=True
    )
    containers = json.loads(done.stdout)
    assert len(containers) == len(RESTARTED) - 1  # Prometheus belongs to a profile
    for container in containers:
        assert container["Config"]["User"] == "10001:10001"
        assert container["HostConfig"]["ReadonlyRootfs"]
        assert container["EffectiveCaps"] in ([], None)
        assert container["State"]["Health"]["Status"] == "healthy"


def test_flower_wants_a_login_and_then_shows_what_moved(fleet: Stack, web: Workload) -> None:
    """On the hub's loopback, through the proxy."""
    url = "http://127.0.0.1:5556/api/tasks"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        read(fleet, url)
    assert "401" in refused.value.stderr
    target = "b" if web.on("a") else "a"
    moved = fleet.workflow("migrate", "web", "--to", target)
    password = fleet.type(f"cat {SECRETS}/{OPERATOR}/flower_password").strip()

    def shown() -> bool:
        tasks = json.loads(read(fleet, url, f"{OPERATOR}:{password}")).values()
        return {unit_task(step.unit) for step in moved.steps} <= {
            task["name"] for task in tasks if moved.id in (task["kwargs"] or "")
        }

    eventually(shown, "Flower shows no task of the migration")


def test_prometheus_asks_the_control_worker(fleet: Stack) -> None:
    fleet.type("docker compose up --detach --wait prometheus")
    query = "http://127.0.0.1:9090/api/v1/query?query=up%7Bjob=%22podferry-control%22%7D"

    def up() -> bool:
        (found,) = json.loads(read(fleet, query))["data"]["result"] or [{"value": ["", "0"]}]
        return bool(found["value"][1] == "1")

    eventually(up, "Prometheus does not reach the control worker")


def read(fleet: Stack, url: str, login: str = "") -> str:
    """What is answered on the hub; a login is NAME:PASSWORD."""
    words = fleet.lab.command("exec", HUB, "--", sys.executable, "-c", READ, url, login)
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("service", RESTARTED)
def test_a_migration_survives_a_restart_of(service: str, fleet: Stack, web: Workload) -> None:
    source, target = ("a", "b") if web.on("a") else ("b", "a")
    before = web.counting(source)
    workflow = fleet.workflow("migrate", "web", "--to", target, "--detach")
    eventually(lambda: sending(fleet, workflow.id), "the checkpoint is not on its way")
    restarted = datetime.now(UTC)
    fleet.type(f"docker compose restart {service}")
    ended = eventually(lambda: over(fleet, workflow.id), "it does not end", seconds=ENDS_SECONDS)
    assert ended.outcome is Outcome.MOVED, ended.reason
    assert ended.ended is not None
    assert ended.ended > restarted, "the restart came too late to disturb it"
    assert before.lives_on_in(web.counting(target))


def status(fleet: Stack, workflow_id: str) -> Workflow | None:
    """The record of a workflow; None while nothing can say."""
    done = fleet.run("status", workflow_id, "-o", "json")
    if done.returncode != 0:
        return None
    record = json.loads(done.stdout)
    del record["events"]
    return Workflow.model_validate(record)


def sending(fleet: Stack, workflow_id: str) -> bool:
    """Whether its checkpoint is being written."""
    found = status(fleet, workflow_id)
    steps = found.steps if found else ()
    return any(s.unit is Unit.CHECKPOINT and s.state is StepState.RUNNING for s in steps)


def over(fleet: Stack, workflow_id: str) -> Workflow | None:
    """Its record, when it has ended."""
    found = status(fleet, workflow_id)
    return found if found and found.ended else None
