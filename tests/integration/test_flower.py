"""What Flower shows of workflows: names, what they are about, how far they are; no secrets."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Any

import pytest
from flower.urls import handlers
from pydantic import SecretStr
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from podferry import Fallback, Outcome, RunSpec, Unit, Workflow
from runtime import RestoreFailedError
from tasks.acl import RedisUser, Role
from tasks.queues import unit_task
from tests.acceptance.console import shown
from tests.fleet import WAIT_SECONDS, eventually
from tests.lab import ROOT, missing
from tests.leaks import ENVIRONMENT, nothing_leaked
from tests.many.hosts import IMAGE
from tests.many.installation import Installation, installation, login
from tests.proxy import Proxy, flower_behind_proxy, pages
from workers.installation import OPERATOR

pytestmark = pytest.mark.integration

OWN_USER = RedisUser(role=Role.FLOWER, password=SecretStr("flower-password"))
SLOWLY = 0.05  # seconds for each 4 KiB of a checkpoint
LAYER = os.urandom(4 << 20)


@dataclass(frozen=True, kw_only=True)
class Flower:
    """A Flower that watches an installation, seen through its proxy."""

    proxy: Proxy
    made: Installation

    def read(self, path: str) -> str:
        """What it answers one who is logged in, be it an error."""
        return self.proxy.read(path)

    def workers(self) -> list[str]:
        """The workers that it has heard of: they say so themselves, and answer no questions."""
        return [worker["hostname"] for worker in loads(self.read("/workers?json=1"))["data"]]

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
    """Two hosts with workers, a control worker, and Flower behind its proxy: each as itself."""
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True) as name,
        installation(Path(name), "ab", secured=True) as made,
        flower_behind_proxy(
            Path(name), login(made.redis_url, OWN_USER), hidden=made.secrets
        ) as proxy,
    ):
        found = Flower(proxy=proxy, made=made)
        made.await_workers()
        eventually(found.workers, "Flower sees no worker")
        yield found


@pytest.fixture(scope="module")
def moved(flower: Flower) -> Workflow:
    """A container with a secret, made by ``up`` and moved, seen on its way; one that failed."""
    client, hosts = flower.made.client, flower.made.hosts
    spec = RunSpec(name="web", image=IMAGE.names[0], env=ENVIRONMENT)
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
    tasks = loads(flower.read("/api/tasks"))
    assert len(flower.workers()) == 3
    assert any(task["state"] == "FAILURE" for task in tasks.values())
    shown = dict(pages(flower.proxy))
    assert all(shown.values())
    assert moved.id in shown["/api/tasks"]
    nothing_leaked(flower.made.secrets, shown.items())


# What Flower knows to do beside showing something (flower/urls.py).
CONTROLS = (
    *("task/apply", "task/async-apply", "task/send-task", "task/abort", "task/timeout"),
    *("task/rate-limit", "task/revoke", "worker/shutdown", "worker/pool/restart"),
    *("worker/pool/grow", "worker/pool/shrink", "worker/pool/autoscale"),
    *("worker/queue/add-consumer", "worker/queue/cancel-consumer"),
)
PAGES = (
    *("/", "/workers", "/tasks", "/broker", "/metrics", "/healthcheck", "/static/js/flower.js"),
    *("/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length"),
)


@pytest.mark.parametrize("password", ["", "operator", "x" * 32])
def test_without_the_login_nothing_is_answered(flower: Flower, password: str) -> None:
    for path in (*PAGES, "/login", "/no-such", "//metrics", "/static/../metrics", "/./healthcheck"):
        status, answer = flower.proxy.ask(path, password=password)
        assert status == 401, path
        assert "flower" not in answer.lower()
    if password:
        noted = [line for line in flower.proxy.log.splitlines() if OPERATOR in line]
        assert any("password mismatch" in line for line in noted)


def test_the_login_is_changed_as_the_document_says(flower: Flower) -> None:
    secrets = flower.proxy.directory / "secrets"
    hashes = (secrets / "proxy" / "htpasswd").read_text()
    section = (ROOT / "docs" / "upkeep.md").read_text().partition("### Flower's login")[2]
    (block, *_) = re.findall(r"(?s)```console\n(.*?)```", section)
    try:
        subprocess.run(["bash", "-euc", "\n".join(shown(block))], cwd=secrets, check=True)
        new = (secrets / OPERATOR / "flower_password").read_text().strip()
        assert flower.proxy.ask("/healthcheck", password=new)[0] == 200
        assert flower.proxy.ask("/healthcheck")[0] == 401
    finally:
        (secrets / "proxy" / "htpasswd").write_text(hashes)


def test_with_the_login_the_pages_are_there(flower: Flower) -> None:
    for path in PAGES:
        assert flower.proxy.ask(path)[0] == 200, path


def test_what_the_document_says_can_be_asked(flower: Flower, moved: Workflow) -> None:
    task_id = next(iter(flower.tasks(moved)))
    paths = re.findall(r"`GET (/\S+)`", (ROOT / "docs" / "control-plane.md").read_text())
    assert len(paths) > 3
    for path in paths:
        status, answer = flower.proxy.ask(path.replace("TASK-ID", task_id))
        assert (status, bool(loads(answer))) == (200, True), path


@pytest.mark.parametrize("control", CONTROLS)
def test_nobody_can_run_revoke_or_change_anything(flower: Flower, control: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        path = f"/api/{control}/podferry.checkpoint"
        assert flower.proxy.ask(path, method=method)[0] == 403
        noted = flower.proxy.log
        assert re.search(rf'access forbidden by rule.*"{method} {path} ', noted)
    assert flower.proxy.ask(f"/api/{control}/podferry.checkpoint")[0] in {404, 405}


def test_every_control_of_this_flower_is_tried() -> None:
    known = {
        pattern.removeprefix("/api/").removesuffix("/(.+)")
        for pattern, handler, *_ in (rule for rule in handlers if isinstance(rule, tuple))
        if "post" in vars(handler) and pattern.startswith("/api/")
    }
    assert known == set(CONTROLS)


def test_it_remembers_when_it_is_started_again(flower: Flower, moved: Workflow) -> None:
    before = set(flower.tasks(moved))
    flower.proxy.flower.stop()
    flower.proxy.flower.start()
    eventually(lambda: flower.proxy.ask("/healthcheck")[0] == 200, "Flower is not back")
    assert before <= set(flower.tasks(moved))


@contextmanager
def chromium(directory: Path) -> Iterator[WebDriver]:
    """A browser of its own, without a window."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        missing("no chromium with its driver; ops/setup/system.sh installs them")
    options = ChromeOptions()
    options.binary_location = str(programs[0])
    words = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1000")
    for word in (*words, f"--user-data-dir={directory}"):
        options.add_argument(word)
    driver = Chrome(options=options, service=Service(str(programs[1])))
    try:
        yield driver
    finally:
        driver.quit()


def row(browser: WebDriver, address: str, pattern: str) -> str:
    """The row of the list of tasks that this is found in, once there is one."""

    def look() -> str | None:
        browser.get(f"{address}/tasks")
        eventually(lambda: browser.find_elements(By.CSS_SELECTOR, "#tasks-table td"), "no list")
        lines = [line.text for line in browser.find_elements(By.CSS_SELECTOR, "#tasks-table tr")]
        return next((line for line in lines if re.search(pattern, line, re.DOTALL)), None)

    return eventually(look, f"no row with {pattern}")


def test_in_a_browser(flower: Flower, moved: Workflow, tmp_path: Path) -> None:
    """PODFERRY_PICTURES=docs keeps the picture of it."""
    client, hosts, proxy = flower.made.client, flower.made.hosts, flower.proxy
    reason = "restore of 'web' failed: CRIU: Can't open file /var/lib/data"
    hosts.runtimes["a"].faults["restore"] = [RestoreFailedError("web", reason.partition(": ")[2])]
    failing = client.migrate("web", to="a", fallback=[Fallback.RESUME])
    ended = client.wait(failing.id, timeout_seconds=WAIT_SECONDS)
    assert ended.outcome is Outcome.RESUMED
    with chromium(tmp_path / "browser") as browser:
        for path in ("/metrics", "/tasks", "/"):
            browser.get(f"{proxy.address}{path}")
            shown = browser.find_element(By.TAG_NAME, "body").text
            assert shown == "" or shown.startswith("401"), path
        browser.get(f"{proxy.logged_in}/tasks")
        assert reason in row(browser, proxy.address, f"{failing.id}.*FAILURE")
        hosts.pace_seconds = SLOWLY / 10
        running = client.migrate("web", to="a")
        row(browser, proxy.address, rf"checkpoint.*{running.id}.*PROGRESS.*[1-9]\.\d MiB so far")
        pictures = Path(os.environ.get("PODFERRY_PICTURES") or tmp_path)
        assert browser.save_screenshot(str(pictures / "flower.png"))
        hosts.pace_seconds = 0
    done = client.wait(running.id, timeout_seconds=WAIT_SECONDS)
    assert done.outcome is Outcome.MOVED
