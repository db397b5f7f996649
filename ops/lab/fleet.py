"""Podferry's own workers in a lab: one per host in its network, a control worker on the hub."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import kernel
import services
from kernel import LabError
from lab import Lab
from layout import HUB

PODFERRY = Path(__file__).parents[2] / ".venv/bin/podferry"
METRICS = "0.0.0.0:9464"  # of a node's own network
START_SECONDS = 60.0
STOP_SECONDS = 20.0


def settings(lab: Lab, node: str) -> dict[str, str]:
    """Return the environment in which Podferry works on a node."""
    facts: dict[str, Any] = json.loads((lab.directory / "lab.json").read_text())
    minio = facts["hub"]["minio"]
    environment = {
        "PODFERRY_ENVIRONMENT": "dev",  # its networks are this machine's own
        "PODFERRY_REDIS_URL": facts["hub"]["redis"]["url"],
        "PODFERRY_KEY_FILE": str(_key_file(lab)),
        "PODFERRY_METRICS": METRICS,
    }
    if minio:
        environment["PODFERRY_STORE_URL"] = f"s3+{minio['endpoint']}/{minio['bucket']}"
        environment["PODFERRY_STORE_ACCESS_KEY"] = minio["access_key"]
        environment["PODFERRY_STORE_SECRET_KEY"] = minio["secret_key"]
    else:
        environment["PODFERRY_STORE_URL"] = f"file://{lab.directory / 'store'}"
    if node != HUB:
        environment["PODFERRY_HOST"] = node
        environment["PODFERRY_SOCKET"] = facts["hosts"][node]["socket"]
        environment["PODFERRY_SPOOL"] = str(lab.directory / "workers" / "spool" / node)
    return environment


def start(lab: Lab, program: Sequence[str] = ()) -> None:
    """Start the workers that do not run, and return when all have reported."""
    if not PODFERRY.exists():
        raise LabError(f"{PODFERRY} is missing; run ops/setup/python.sh")
    nodes = [HUB, *lab.hosts]
    lab.require(HUB, nodes)
    temporary = lab.directory / "workers" / "tmp"  # a killed worker leaves things behind in it
    temporary.mkdir(parents=True, exist_ok=True)
    if not _key_file(lab).exists():
        # A path relative to the lab: when it is taken down meanwhile, nothing makes it again.
        key_file = {"PODFERRY_KEY_FILE": str(_key_file(lab).relative_to(lab.directory))}
        subprocess.run(
            [str(PODFERRY), "keys", "new"],
            check=True,
            capture_output=True,
            cwd=lab.directory,
            env={**os.environ, **settings(lab, HUB), **key_file},
        )
    for node in nodes:
        if _pid(lab, node) is None:
            _pid_file(lab, node).unlink(missing_ok=True)  # an older worker's must not speak for it
            role = ["--control"] if node == HUB else []
            command = ["sh", "-c", services.NOTE_PID, str(_pid_file(lab, node))]
            command += [*(program or [str(PODFERRY)]), "worker", *role]
            services.spawn(
                services.in_netns(lab.netns(node), command),
                lab.log(node, "worker"),
                environment={**settings(lab, node), "TMPDIR": str(temporary)},
            )
    for node in nodes:
        with services.explained_by(lab.log(node, "worker")):
            what = f"the worker on {node} does not report"
            kernel.wait_until(partial(_reported, lab, node), START_SECONDS, what)


def stop(lab: Lab) -> None:
    """Stop the workers: each ends the unit it works on first, within a time."""
    nodes = [node for node in (HUB, *lab.hosts) if _pid(lab, node) is not None]
    for node in nodes:
        _send(lab, node, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for node in nodes:
        while _pid(lab, node) is not None:
            if time.monotonic() > deadline:
                _send(lab, node, signal.SIGKILL)
            time.sleep(0.05)


def _key_file(lab: Lab) -> Path:
    """Where all nodes find the keys of the lab's archives."""
    return lab.directory / "workers" / "keys.json"


def _pid_file(lab: Lab, node: str) -> Path:
    return lab.directory / "workers" / f"{node}.pid"


def _pid(lab: Lab, node: str) -> int | None:
    pid = services.noted_pid(_pid_file(lab, node))
    return pid if pid and kernel.is_in(pid, kernel.netns_path(lab.netns(node))) else None


def _send(lab: Lab, node: str, number: signal.Signals) -> None:
    pid = _pid(lab, node)
    if pid is not None:
        kernel.send(pid, kernel.netns_path(lab.netns(node)), number)


def _reported(lab: Lab, node: str) -> bool:
    if not _pid_file(lab, node).exists():
        return False
    pid = _pid(lab, node)
    if pid is None:
        raise LabError(f"the worker on {node} has ended")
    command = services.in_netns(lab.netns(HUB), [str(PODFERRY), "workers", "-o", "json"])
    environment = {**os.environ, **settings(lab, HUB)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    workers: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return any(worker["pid"] == pid and worker["online"] for worker in workers)
