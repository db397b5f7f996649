"""A real Prometheus asks real workers: dashboard and alerts have what they ask for."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from podferry import Outcome
from tests.fleet import Fleet, Workload, eventually
from tests.lab import ROOT, missing

pytestmark = pytest.mark.integration

OPS = ROOT / "ops" / "prometheus"
DASHBOARD = ROOT / "ops" / "grafana" / "dashboards" / "podferry.json"
ADDRESS = "127.0.0.1:9090"  # of the hub's own network
VARIABLES = {"$__rate_interval": "20s", "$__range": "5m"}
# asks one URL after another, each a line of its input
ASK = """
import json, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for url in json.load(sys.stdin):
    try:
        answer = opener.open(url, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    except OSError:
        print("null")
        continue
    with answer:
        print(json.dumps(json.load(answer)))
"""


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A Prometheus on the hub that asks every worker each second."""

    fleet: Fleet
    began: float

    def ask(self, *paths: str) -> list[Any]:
        """Its answers, JSON; None where it gave none."""
        done = subprocess.run(
            self.fleet.lab.command("exec", "hub", "--", shutil.which("python3") or "", "-c", ASK),
            input=json.dumps([f"http://{ADDRESS}/{path}" for path in paths]),
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def values(self, *queries: str) -> list[list[float]]:
        """All numbers that queries have, each second since the beginning; NaN is none."""
        times = f"start={self.began:.0f}&end={time.time():.0f}&step=1"
        paths = [f"api/v1/query_range?{times}&query={quoted(query)}" for query in queries]
        found = []
        for query, answer in zip(queries, self.ask(*paths), strict=True):
            assert answer["status"] == "success", f"{query}: {answer}"
            series = answer["data"]["result"]
            numbers = (float(value) for one in series for _, value in one["values"])
            found.append([number for number in numbers if not math.isnan(number)])
        return found

    def up(self) -> bool:
        """Whether it has asked all workers."""
        (answer,) = self.ask("api/v1/query?query=sum(up)")
        nodes = 1 + len(self.fleet.hosts)
        return bool(answer and answer["data"]["result"]) and (
            int(answer["data"]["result"][0]["value"][1]) == nodes
        )


def quoted(query: str) -> str:
    """A query as a part of a URL."""
    return "".join(f"%{byte:02X}" for byte in query.encode())


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        missing("no prometheus in PATH; ops/setup/system.sh installs it")
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as name:
        configured(Path(name), fleet)
        words = (
            str(program),
            f"--config.file={name}/prometheus.yml",
            f"--storage.tsdb.path={name}/data",
            f"--web.listen-address={ADDRESS}",
        )
        with (
            Path(name, "log").open("wb") as log,
            subprocess.Popen(
                fleet.lab.command("exec", "hub", "--", *words), stdout=log, stderr=log
            ) as process,
        ):
            try:
                made = Prometheus(fleet=fleet, began=time.time())
                eventually(made.up, "Prometheus does not reach every worker")
                yield made
            finally:
                process.terminate()


def configured(directory: Path, fleet: Fleet) -> None:
    """The configuration as it is deployed, only faster, and with the lab's addresses."""
    text = (OPS / "prometheus.yml").read_text().replace("15s", "1s")
    text, replaced = re.subn(r"\[control:9464\]", "['127.0.0.1:9464']", text)
    assert replaced == 1
    (directory / "prometheus.yml").write_text(text)
    shutil.copy(OPS / "alerts.yml", directory)
    hosts = [f"{fleet.lab.state['hosts'][host]['address']}:9464" for host in fleet.hosts]
    (directory / "hosts.yml").write_text(json.dumps([{"targets": hosts}]))


@pytest.fixture(scope="module")
def worked(prometheus: Prometheus, fleet: Fleet) -> Iterator[Prometheus]:
    """Moves, a failed step, a checkpoint and a drain under a deadline have been seen."""
    workload = Workload(fleet, "seen")
    try:
        workload.start(workload.spec(memory_mib=64))  # large enough for a rate to be told
        fleet.workflow("migrate", workload.name, "--to", "b")
        fleet.workflow("checkpoint", workload.name)
        with fleet.without_criu("a"):
            resumed = fleet.workflow(
                "migrate", workload.name, "--to", "a", "--fallback", "resume", code=3
            )
        assert resumed.outcome is Outcome.RESUMED
        drained = fleet.run("drain", "b", "--deadline", "120s", "--yes")
        assert drained.returncode == 0, drained.stderr
        seen = partial(increased, prometheus, 'podferry_drains_total{result="drained"}')
        eventually(seen, "the end of the drain is not seen")
        yield prometheus
    finally:
        fleet.run("uncordon", "b")
        workload.forget()


def increased(prometheus: Prometheus, series: str) -> bool:
    (values,) = prometheus.values(f"max(increase({series}[1m]))")
    return bool(values) and max(values) > 0


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard with its panel's title."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(p["title"], target["expr"]) for p in panels for target in p.get("targets", [])]


def test_every_query_of_the_dashboard_returns_data(worked: Prometheus) -> None:
    found = queries()
    assert len(found) > 20
    asked = []
    for _, query in found:
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        assert "$" not in query
        asked.append(query)
    answers = worked.values(*asked)
    empty = [title for (title, _), values in zip(found, answers, strict=True) if not values]
    assert not empty


def test_the_numbers_are_those_of_the_workflows(worked: Prometheus) -> None:
    moved = 'podferry_workflows_total{kind="migrate",outcome="moved"}'
    downtime = "podferry_downtime_seconds_sum / podferry_downtime_seconds_count"
    steps = "sum(podferry_steps_running)"
    sent, per_move, running, states = worked.values(
        f"max(increase({moved}[5m]))", f"max({downtime})", steps, "sum(podferry_host_state)"
    )
    assert max(sent) >= 1
    assert min(per_move) > 0
    assert max(running) >= 1
    assert set(states) == {len(worked.fleet.hosts)}


def test_every_alert_is_evaluated(worked: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]] | None:
        (answer,) = worked.ask("api/v1/rules")
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules: list[dict[str, Any]] = eventually(evaluated, "the alerts are not evaluated")
    assert len(rules) > 10
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    # what has happened here: a drain of b is over, nothing is broken, and a move was resumed
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing <= {"PodferryWorkflowFailed", "PodferryDrainIncomplete", "PodferryLeasesExpire"}


def test_a_host_tells_of_its_own_worker(worked: Prometheus) -> None:
    memory = "process_resident_memory_bytes"
    hosts, control = worked.values(
        f'{memory}{{job="podferry-hosts"}}', f'{memory}{{job="podferry-control"}}'
    )
    assert min(hosts) > 1 << 20
    assert min(control) > 1 << 20


@pytest.fixture
def promtool() -> Callable[..., None]:
    program = shutil.which("promtool")
    if program is None:
        missing("no promtool in PATH; ops/setup/system.sh installs it")

    def run(*words: str) -> None:
        done = subprocess.run(
            [str(program), *words], cwd=OPS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_the_configuration_is_valid(promtool: Callable[..., None]) -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")


def test_each_alert_fires_when_it_has_to_and_only_then(promtool: Callable[..., None]) -> None:
    promtool("test", "rules", "alerts.test.yml")
    alerts = re.findall(r"alert: (\w+)", (OPS / "alerts.yml").read_text())
    tests = re.findall(r"alertname: (\w+)", (OPS / "alerts.test.yml").read_text())
    assert sorted(tests) == sorted([*alerts, *alerts])
