"""The lab itself: it comes up, repairs what died, cuts links, and leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PROGRAM = Path(__file__).resolve().parents[2] / "ops" / "lab"


class Lab:
    """Calls the lab's command line as a person would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(PROGRAM), "--dir", str(self.directory), command, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)

    def __call__(self, command: str, *arguments: str) -> str:
        done = self.run(command, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.directory / "lab.json").read_text())
        return state

    def rows(self) -> dict[str, dict[str, Any]]:
        rows = json.loads(self("status", "-o", "json"))
        return {row["role"] if row["node"] == "hub" else row["node"]: row for row in rows}

    def pids(self) -> dict[str, int]:
        return {name: row["pid"] for name, row in self.rows().items()}

    def reaches(self, node: str, address: str, port: int) -> bool:
        script = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
        return self.run("exec", node, "--", sys.executable, "-c", script).returncode == 0


def traces(lab_id: str, directory: Path) -> list[str]:
    """Whatever the kernel still holds of a lab."""
    found = [str(path) for path in Path("/run/netns").glob(f"pf-{lab_id}-*")]
    found += map(str, Path("/sys/fs/cgroup").glob(f"**/podferry-{lab_id}-*"))
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            known = (process / "mounts").read_text() + (process / "cmdline").read_text()
        except OSError:
            continue
        if str(directory) in known or f"pf-{lab_id}-" in known:
            found.append(f"process {process.name}: {known[:200]}")
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    reason = "" if os.geteuid() == 0 else "the lab needs root"
    for command in ("ip", "nsenter", "redis-server", "mmdebstrap"):
        if not reason and not shutil.which(command):
            reason = f"the lab needs {command}; ops/setup/system.sh installs it"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))  # short: it holds sockets
    lab = Lab(directory / "lab")
    try:
        lab("up", "--hosts", "a,b")
        yield lab
    finally:
        lab("down")
        shutil.rmtree(directory)


def test_up_is_idempotent(lab: Lab) -> None:
    before = lab.pids()
    assert all(before.values())
    lab("up")
    assert lab.pids() == before
    assert {row["state"] for row in lab.rows().values()} == {"up"}


def test_table_names_every_node(lab: Lab) -> None:
    table = lab("status").splitlines()
    assert table[0].split()[:2] == ["node", "role"]
    assert {line.split()[0] for line in table[1:]} == {"hub", "a", "b"}


def test_secrets_are_for_the_owner_only(lab: Lab) -> None:
    for name in ("lab.json", "hub/redis.conf", "hub/redis.sock"):
        assert (lab.directory / name).stat().st_mode & 0o077 == 0


def test_hosts_are_apart(lab: Lab) -> None:
    lab("enter", "a", "--", "touch", "/only-on-a", "/tmp/only-on-a", "/dev/shm/only-on-a")
    for path in ("/only-on-a", "/tmp/only-on-a", "/dev/shm/only-on-a"):
        assert lab.run("enter", "b", "--", "test", "-e", path).returncode == 1
        assert not Path(path).exists()
    assert lab("enter", "a", "--", "cat", "/proc/sys/kernel/hostname") == "a\n"
    assert lab("enter", "a", "--", "criu", "check") is not None


def test_up_restarts_a_killed_podman_service(lab: Lab) -> None:
    before = lab.pids()
    os.kill(before["a"], signal.SIGKILL)
    lab("up")
    after = lab.pids()
    assert after.pop("a") not in (None, before.pop("a"))
    assert after == before


def test_up_reboots_a_dead_host_with_its_storage(lab: Lab) -> None:
    lab("enter", "b", "--", "podman", "volume", "create", "kept")
    os.kill(lab.state()["hosts"]["b"]["pid"], signal.SIGKILL)
    assert lab.rows()["b"]["state"] == "down"
    lab("up")
    assert lab("enter", "b", "--", "podman", "volume", "ls", "-q") == "kept\n"


def test_up_after_a_killed_up(lab: Lab) -> None:
    lab("down")
    argv = [sys.executable, str(PROGRAM), "--dir", str(lab.directory), "up"]
    for milliseconds in (150, 250, 350):
        up = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        try:
            up.wait(milliseconds / 1000)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()
    lab("up")
    assert {row["state"] for row in lab.rows().values()} == {"up"}
    assert lab.reaches("b", "10.99.0.1", 6379)


def test_cut_and_mend(lab: Lab) -> None:
    redis = lab.state()["hub"]["address"]
    assert lab.reaches("a", redis, 6379)
    lab("cut", "a")
    assert lab.rows()["a"]["state"] == "cut"
    assert not lab.reaches("a", redis, 6379)
    assert lab.reaches("b", redis, 6379)
    lab("mend", "a")
    deadline = time.monotonic() + 10  # the kernel takes up to a second to notice a link
    while not lab.reaches("a", redis, 6379):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("service", ["redis", "a"])
def test_stop_and_start(lab: Lab, service: str) -> None:
    lab("stop", service)
    assert lab.rows()[service]["state"] == "down"
    lab("start", service)
    assert lab.rows()[service]["state"] == "up"


def test_up_adds_a_host(lab: Lab) -> None:
    before = lab.pids()
    lab("up", "--hosts", "c")
    after = lab.pids()
    assert after.pop("c")
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("exec", "nowhere", "--", "true"), "there are: hub, a, b"),
        (("stop", "nothing"), "there are: redis"),
        (("up", "--hosts", "hub"), "cannot name a host"),
        (("exec", "a"), "no command"),
    ],
)
def test_one_clear_line(lab: Lab, arguments: tuple[str, ...], complaint: str) -> None:
    done = lab.run(*arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr


def test_a_long_directory_is_refused(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("the lab needs root")
    done = Lab(tmp_path / ("x" * 100)).run("up")
    assert done.returncode == 1
    assert "107 bytes" in done.stderr


def test_down_leaves_nothing(lab: Lab) -> None:
    lab("up")
    lab_id = lab.state()["id"]
    (lab.directory / "demo.json").write_text("{}")
    command = [sys.executable, str(PROGRAM), "--dir", str(lab.directory), "exec", "a", "--"]
    command += ["sh", "-c", "echo there; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"there\n"
            lab("down")
            assert worker.wait(10) == -signal.SIGKILL
        finally:
            worker.kill()
    assert traces(lab_id, lab.directory) == []
    assert sorted(path.name for path in lab.directory.iterdir()) == ["demo.json", "logs"]
    lab("down")
    assert lab.run("status").returncode == 1
