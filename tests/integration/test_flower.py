"""What Flower shows of workflows: names, what they are about, how far they are; no secrets."""

from __future__ import annotations

import ast
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Any

import pytest

from podferry import Outcome, RunSpec, Unit, Workflow
from tasks.queues import unit_task
from tests.fleet import WAIT_SECONDS, eventually
from tests.many.hosts import IMAGE
from tests.many.installation import Installation, installation
from tests.services import Server, free_port

pytestmark = pytest.mark.integration

PASSWORD = "redis-passw0rd-2f81"
TOKEN = "token-of-the-app-9c55"
CELERY = str(Path(sys.executable).with_name("celery"))
SLOWLY = 0.05  # seconds for each 4 KiB of a checkpoint
LAYER = os.urandom(4 << 20)


@dataclass(frozen=True, kw_only=True)
class Flower:
    """A Flower that watches an installation."""

    address: str
    made: Installation

    def read(self, path: str) -> str:
        """What it answers, be it an error."""
        try:
            url = f"{self.address}{path}"
            with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:  # noqa: S310 - http
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def tasks(self, workflow: Workflow) -> dict[str, dict[str, Any]]:
        """The tasks of a workflow by id, as the list has them."""
        found: dict[str, dict[str, Any]] = loads(self.read("/api/tasks"))
        return {i: task for i, task in found.items() if workflow.id in (task["kwargs"] or "")}

    def task(self, workflow: Workflow, unit: Unit, state: str) -> dict[str, Any]:
        """A task of a workflow by itself, once it has come to a state."""

        def look() -> dict[str, Any] | None:
            for task_id, task in self.tasks(workflow).items():
                if (task["name"], task["state"]) == (unit_task(unit), state):
                    found: dict[str, Any] = loads(self.read(f"/api/task/info/{task_id}"))
                    return found if found["state"] == state else None
            return None

        return eventually(look, f"{unit} {state}")


@pytest.fixture(scope="module")
def flower() -> Iterator[Flower]:
    """Two hosts with workers, a control worker, and Flower, as docs/operating.md starts it."""
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True) as name,
        installation(Path(name), "ab", password=PASSWORD) as made,
    ):
        port = free_port()
        found = Flower(address=f"http://127.0.0.1:{port}", made=made)
        server = Server(
            command=[CELERY, "flower", "--address=127.0.0.1", f"--port={port}"],
            environment={
                "CELERY_BROKER_URL": made.redis_url,
                "CELERY_RESULT_BACKEND": made.redis_url,
                "FLOWER_READ_ONLY": "true",
                "FLOWER_UNAUTHENTICATED_API": "true",
            },
            directory=Path(name),
            is_ready=lambda: _serves(found),
        )
        server.start()
        try:
            made.await_workers()
            eventually(lambda: loads(found.read("/api/workers?refresh=1")), "Flower sees no worker")
            yield found
        finally:
            server.stop()


@pytest.fixture(scope="module")
def moved(flower: Flower) -> Workflow:
    """A container with a secret, made by ``up`` and moved, seen on its way; one that failed."""
    client, hosts = flower.made.client, flower.made.hosts
    spec = RunSpec(name="web", image=IMAGE.names[0], env={"TOKEN": TOKEN})
    started = client.wait(client.up(spec, host="a").id, timeout_seconds=WAIT_SECONDS)
    assert started.outcome is Outcome.STARTED
    other = spec.model_copy(update={"name": "other", "image": "localhost/no-such"})
    failed = client.wait(client.up(other, host="a").id, timeout_seconds=WAIT_SECONDS)
    assert failed.outcome is Outcome.FAILED
    ((_, container),) = hosts.places("web")
    container.files["data"] = LAYER
    hosts.pace_seconds = SLOWLY
    workflow = client.migrate("web", to="b")
    see_progress(flower, workflow)
    hosts.pace_seconds = 0
    ended = client.wait(workflow.id, timeout_seconds=WAIT_SECONDS)
    assert ended.outcome is Outcome.MOVED
    flower.task(ended, Unit.FINISH, "SUCCESS")
    return ended


def see_progress(flower: Flower, workflow: Workflow) -> None:
    task = flower.task(workflow, Unit.CHECKPOINT, "PROGRESS")
    assert 0 < ast.literal_eval(task["result"])["bytes"] < len(LAYER)


def test_a_long_step_shows_how_far_it_is_and_then_its_result(
    flower: Flower, moved: Workflow
) -> None:
    task = flower.task(moved, Unit.CHECKPOINT, "SUCCESS")
    assert ast.literal_eval(task["result"])["raw_bytes"] > len(LAYER)


def test_the_chain_reads_as_the_plan(flower: Flower, moved: Workflow) -> None:
    done = [task for task in flower.tasks(moved).values() if task["state"] == "SUCCESS"]
    done.sort(key=lambda task: task["started"])
    names = list(dict.fromkeys(task["name"] for task in done))
    assert names == [unit_task(step.unit) for step in moved.steps]
    for task in done:
        about = ast.literal_eval(task["kwargs"])
        step = moved.steps[about["step"]]
        assert about == {"workflow_id": moved.id, "step": about["step"], "epoch": step.epoch}
        assert task["name"] == unit_task(step.unit)
        assert task["worker"].startswith(f"{step.host}@")
        assert ast.literal_eval(task["args"]) == ()
    assert len({task["root_id"] for task in done}) == 1


def test_no_secret_is_shown_anywhere(flower: Flower, moved: Workflow) -> None:
    workers, tasks = loads(flower.read("/api/workers?refresh=1")), loads(flower.read("/api/tasks"))
    assert len(workers) == 3
    assert any(task["state"] == "FAILURE" for task in tasks.values())
    places = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks"]
    places += ["/api/task/types", "/api/queues/length", *(f"/worker/{name}" for name in workers)]
    for task_id in tasks:
        places += [f"/api/task/info/{task_id}", f"/api/task/result/{task_id}", f"/task/{task_id}"]
    for place in places:
        answer = flower.read(place)
        assert answer, place
        assert PASSWORD not in answer, place
        assert TOKEN not in answer, place


def _serves(flower: Flower) -> bool:
    try:
        return flower.read("/healthcheck") == "OK"
    except OSError:
        return False
