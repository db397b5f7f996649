"""A lab of the tests' own: real Podman hosts and a hub, brought up and taken down again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.leaks import PLANTED, archive_keys, logs, nothing_leaked, redis_content

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "ops" / "lab"
STOP_SECONDS = 20.0
COUNTER_CONTEXT = LAB / "images" / "context.sh"


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A running lab in ``dir``."""

    dir: Path

    @property
    def state(self) -> dict[str, Any]:
        """What ``lab.json`` says now."""
        state: dict[str, Any] = json.loads((self.dir / "lab.json").read_text())
        return state

    @property
    def secrets(self) -> dict[str, str]:
        """What nobody may read anywhere, by name: its own, and what its containers were given."""
        hub = self.state["hub"]
        found = {"environment of a container": PLANTED, "Redis' password": self.redis_password}
        if hub["minio"]:
            found["store's key"] = hub["minio"]["secret_key"]
        return found | archive_keys(self.dir / "workers" / "keys.json")

    @property
    def redis_password(self) -> str:
        """With which its Redis lets in."""
        url: str = self.state["hub"]["redis"]["url"]
        return url.partition("://:")[2].partition("@")[0]

    @contextmanager
    def redis(self) -> Iterator[Redis]:
        """Its Redis, to look into."""
        socket = self.state["hub"]["redis"]["socket"]
        with closing(Redis(unix_socket_path=socket, password=self.redis_password)) as connection:
            yield connection

    def search(self) -> None:
        """Search all logs and all of Redis for its secrets. Raises AssertionError."""
        nothing_leaked(self.secrets, logs(self.dir / "logs"))
        if self.state["hub"]["redis"]["pid"]:
            with self.redis() as redis:
                nothing_leaked(self.secrets, redis_content(redis))

    def socket(self, host: str) -> str:
        """Path of a host's Podman socket."""
        return str(self.dir / "hosts" / host / "podman.sock")

    def command(self, verb: str, *args: str) -> list[str]:
        """The command line of a lab verb."""
        return [sys.executable, str(LAB), verb, "--dir", str(self.dir), *args]

    def call(self, verb: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a lab verb to its end; its failure is the test's."""
        done = _run(self.command(verb, *args))
        assert done.returncode == 0, f"lab {verb} {args}: {done.stderr or done.stdout}"
        return done

    def up(self, hosts: Sequence[str], minio: str) -> None:
        """Bring it up; without MinIO the tests that want it cannot run."""
        words = self.command("up", "--hosts", ",".join(hosts), "--minio", minio)
        done = _run(words)
        if "no MinIO" in done.stderr:
            missing(done.stderr.strip())
        assert done.returncode == 0, done.stderr

    def enter(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside a host."""
        return subprocess.run(
            self.command("enter", host, "--", *command), capture_output=True, text=True, check=False
        )


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; when we are interrupted so is it, and can end what it started."""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            stdout, stderr = process.communicate()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def missing(what: str) -> None:
    """Skip on a laptop, fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def lab(hosts: Sequence[str], *, minio: str = "no") -> Iterator[Lab]:
    """Bring up a lab of its own in a short temporary directory."""
    if os.geteuid() != 0:
        missing("the lab needs root")
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as name:
        made = Lab(dir=Path(name))
        try:
            made.up(hosts, minio)
            yield made
            if (made.dir / "lab.json").exists():  # it was not taken down yet
                made.search()
        finally:
            made.call("down")


@contextmanager
def counter_context() -> Iterator[Path]:
    """The build context of the counting program's image."""
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as name:
        words = [str(COUNTER_CONTEXT), name]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield Path(name)
