"""``podferry dev`` on one machine: a broker of its own, a directory, one worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import BuildSpec, PodmanRuntime, RunSpec, build_context
from tests.lab import LAB, ROOT, Lab, lab

pytestmark = pytest.mark.integration

PODFERRY = str(ROOT / ".venv" / "bin" / "podferry")
SECONDS = 60.0


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One Podman host with the container `web`, and no server besides."""
    context = tmp_path_factory.mktemp("dev")
    subprocess.run([str(LAB / "images" / "context.sh"), str(context)], check=True)
    with lab(["a"]) as made:
        runtime = PodmanRuntime(made.socket("a"))
        runtime.build(BuildSpec(tag="counter"), build_context(context), on_log=lambda _: None)
        runtime.start(runtime.run(RunSpec(name="web", image="localhost/counter")))
        yield made


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PODFERRY_")}
    return {**clean, "XDG_STATE_HOME": str(tmp_path)}


def podferry(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PODFERRY, *words], capture_output=True, text=True, check=False, env=environment
    )


def succeed(environment: dict[str, str], *words: str) -> str:
    done = podferry(environment, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def boot_id(host: Lab) -> bytes:
    return PodmanRuntime(host.socket("a")).exec("web", ["cat", "/state/now"]).output.split()[4]


def test_a_checkpoint_and_its_restore_within_a_minute(
    host: Lab, environment: dict[str, str]
) -> None:
    command = [PODFERRY, "dev", "--socket", host.socket("a")]
    # A session of its own, as a terminal gives it: the signal below is for this process alone.
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as dev:
        try:
            limit = time.monotonic() + SECONDS
            while "web" not in podferry(environment, "ps").stdout:
                assert dev.poll() is None, dev.stderr.read() if dev.stderr else ""
                assert time.monotonic() < limit, "podferry dev shows no container"
            before = boot_id(host)
            succeed(environment, "checkpoint", "web")
            assert boot_id(host) == before
            assert "web/" in succeed(environment, "checkpoints")
            refused = podferry(environment, "restore", "web")
            assert refused.returncode == 1
            assert "--replace" in refused.stderr
            succeed(environment, "restore", "web", "--replace")
            assert boot_id(host) == before
            again = podferry(environment, "dev")
            assert again.returncode == 1
            assert "another podferry dev is running" in again.stderr
        finally:
            dev.send_signal(signal.SIGINT)
            _, errors = dev.communicate(timeout=SECONDS)
    assert dev.returncode == 0, errors
    assert "Traceback" not in errors
    gone = podferry(environment, "ps")
    assert gone.returncode == 1
    assert "podferry dev" in gone.stderr
