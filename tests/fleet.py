"""Podferry on real hosts: a lab with its workers, driven through the command line.

What a test asserts about containers is asked at the hosts' own Podman sockets.
"""

from __future__ import annotations

import json
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from os import kill
from pathlib import Path
from typing import Any, TypeVar

from podferry import Client, EventType, RunSpec, Settings, Unit, Workflow
from runtime import ContainerInfo, ContainerNotFoundError, Mount, PodmanRuntime
from tests.lab import Lab, counter_context
from tests.leaks import ENVIRONMENT, nothing_leaked

PODFERRY = str(Path(sys.executable).with_name("podferry"))
HOSTS = ("a", "b")
IMAGE = "localhost/counter:latest"
CRIU = "/usr/sbin/criu"
WAIT_SECONDS = 60.0
COMMAND_SECONDS = 240.0

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]


def eventually(ask: Callable[[], T | None], what: str, *, seconds: float = WAIT_SECONDS) -> T:
    """The first answer that is true."""
    limit = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < limit, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


@dataclass(frozen=True, kw_only=True)
class State:
    """One line of the counting program; ``boot_id`` is chosen when its process starts."""

    counter: int
    largest_gap_seconds: float
    intact: bool
    boot_id: str

    @classmethod
    def parse(cls, line: str) -> State:
        counter, _, gap, intact, boot_id = line.split()
        return cls(
            counter=int(counter),
            largest_gap_seconds=float(gap),
            intact=intact == "1",
            boot_id=boot_id,
        )

    def lives_on_in(self, later: State) -> bool:
        """Whether the same process went on, its memory as it was."""
        same = later.boot_id == self.boot_id and later.counter > self.counter
        return same and self.intact and later.intact


class Fleet:
    """Hosts, a hub, a worker on each, and the counting image on all hosts."""

    def __init__(
        self, lab: Lab, *, hosts: Sequence[str] = HOSTS, program: Sequence[str] = ()
    ) -> None:
        self.lab = lab
        self.hosts = tuple(hosts)
        self._program = ("--program", shlex.join(program)) if program else ()
        self._runtimes = {host: PodmanRuntime(lab.socket(host)) for host in self.hosts}

    def start(self) -> None:
        """Start the workers, build the counting image on the first host, load it on the others."""
        self.start_workers()
        with counter_context() as context:
            self.workflow("build", str(context), "--tag", IMAGE, "--host", self.hosts[0])
        for host in self.hosts[1:]:
            with self.runtime(self.hosts[0]).save_image(IMAGE) as chunks:
                self.runtime(host).load_image(chunks)

    def start_workers(self) -> None:
        """Start the workers that do not run."""
        self.lab.call("workers", "start", *self._program)

    def close(self) -> None:
        """Stop the workers."""
        self.client.close()
        for runtime in self._runtimes.values():
            runtime.close()
        self.lab.call("workers", "stop")

    # The command line

    def command(self, *words: str) -> list[str]:
        """A podferry command line, run in the hub's network with the lab's settings."""
        return self.lab.command("exec", "hub", "--", PODFERRY, *words)

    def run(self, *words: str) -> Done:
        """Run a podferry command to its end. No secret may be shown."""
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        nothing_leaked(self.lab.secrets, [(f"output of {words[0]}", done.stdout + done.stderr)])
        return done

    @contextmanager
    def started(self, *words: str) -> Iterator[Callable[[], Done]]:
        """Start a podferry command; gives what waits for its end. It does not outlive the block."""
        process = subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        def finished() -> Done:
            stdout, stderr = process.communicate(timeout=COMMAND_SECONDS)
            return Done(process.args, process.returncode, stdout, stderr)

        with process:
            try:
                yield finished
            finally:
                process.kill()

    def workflow(self, *words: str, code: int = 0) -> Workflow:
        """Run a podferry command that ends with this exit code, and a workflow."""
        return ended(self.run(*words, "-o", "json"), code)

    def refused(self, *words: str) -> str:
        """Run a podferry command that is refused; return the one line that says why."""
        return complaint(self.run(*words))

    def checkpoints(self, name: str) -> list[dict[str, Any]]:
        """The checkpoints that are listed of a workload."""
        done = self.run("checkpoints", "ls", name, "-o", "json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def python(self, program: str, *arguments: str) -> str:
        """Run a Python program where the archive store can be reached, with its settings."""
        words = (sys.executable, "-c", program, *arguments)
        return self.lab.call("exec", "hub", "--", *words).stdout

    # What it knows of itself

    @cached_property
    def client(self) -> Client:
        """A client of the records; it has no store, and submits nothing."""
        socket = self.lab.state["hub"]["redis"]["socket"]
        return Client(Settings(redis_url=f"unix://:{self.lab.redis_password}@{socket}"))

    def online(self, host: str) -> bool:
        """Whether a host's worker sends its heartbeat."""
        return any(known.host == host and known.online for known in self.client.hosts())

    def await_progress(self, workflow_id: str, unit: Unit) -> None:
        """Return as soon as the unit has moved its first bytes."""
        for event in self.client.events(workflow_id, timeout_seconds=WAIT_SECONDS):
            if event.unit is unit and event.type is EventType.PROGRESS:
                return
        raise AssertionError(f"{workflow_id} ended before {unit} began")

    # The hosts, and what can happen to them

    def runtime(self, host: str) -> PodmanRuntime:
        """A host's engine, asked without Podferry."""
        return self._runtimes[host]

    @contextmanager
    def without(self, service: str) -> Iterator[None]:
        """A service (or a host's Podman API) that is down."""
        self.lab.call("stop", service)
        try:
            yield
        finally:
            self.lab.call("start", service)

    @contextmanager
    def minio_may_die(self) -> Iterator[Callable[[], None]]:
        """Gives what kills MinIO at once; it is brought back afterwards."""
        pid = self.lab.state["hub"]["minio"]["pid"]
        try:
            yield lambda: kill(pid, signal.SIGKILL)
        finally:
            self.lab.call("start", "minio")

    @contextmanager
    def without_criu(self, host: str) -> Iterator[None]:
        """A host on which every restore fails."""
        self.lab.call("enter", host, "--", "mv", CRIU, f"{CRIU}.away")
        try:
            yield
        finally:
            self.lab.call("enter", host, "--", "mv", f"{CRIU}.away", CRIU)

    @contextmanager
    def criu_failing_for(self, host: str, container_id: str) -> Iterator[None]:
        """A host on which CRIU fails for one container; the runtime that calls it names which."""
        wrapper = f"""#!/bin/sh
if tr '\\0' ' ' </proc/$PPID/cmdline | grep -q {container_id}; then exit 1; fi
exec {CRIU}.away "$@"
"""
        with self.without_criu(host):
            script = f"cat >{CRIU} <<'END'\n{wrapper}END\nchmod 755 {CRIU}"
            self.lab.call("enter", host, "--", "sh", "-c", script)
            yield

    def worker(self, host: str) -> int:
        """The process of a host's worker."""
        return int((self.lab.dir / "workers" / f"{host}.pid").read_text())

    def kill_worker(self, host: str) -> None:
        """Kill a host's worker with all its processes, which have no time for a farewell."""
        worker = self.worker(host)
        for process in (worker, *children(worker)):
            kill(process, signal.SIGKILL)


class Workload:
    """A counting container of a test's own, on whichever host it is."""

    def __init__(self, fleet: Fleet, stem: str) -> None:
        self.fleet = fleet
        self.name = f"{stem}-{secrets.token_hex(3)}"
        self.volume = f"{self.name}-data"
        self.network = f"{self.name}-net"

    def spec(
        self,
        *,
        memory_mib: int = 8,
        volume: bool = False,
        **fields: Any,  # noqa: ANN401 -- RunSpec checks them
    ) -> RunSpec:
        """How to make it; its volume is mounted at /data."""
        mount = Mount(type="volume", source=self.volume, target="/data")
        return RunSpec(
            name=self.name,
            image=fields.pop("image", IMAGE),
            env={"MEMORY_MIB": str(memory_mib), **ENVIRONMENT},
            mounts=(mount,) if volume else (),
            stop_timeout_seconds=0,
            **fields,
        )

    def start(self, spec: RunSpec | None = None, host: str = "a") -> State:
        """Make it on a host and return its state once it counts."""
        runtime = self.fleet.runtime(host)
        runtime.start(runtime.run(spec or self.spec()))
        return self.counting(host)

    def on(self, host: str) -> ContainerInfo | None:
        """How a host describes it; None when it has none."""
        try:
            return self.fleet.runtime(host).inspect(self.name)
        except ContainerNotFoundError:
            return None

    def absent(self, host: str) -> bool:
        """Whether a host holds nothing of it: no container, no volume."""
        has_volume = self.fleet.runtime(host).volume_exists(self.volume)
        return self.on(host) is None and not has_volume

    def counting(self, host: str) -> State:
        """Its state on a host, at a moment when the counter is seen to grow."""
        first = self.state(host)
        return eventually(lambda: self._later(host, first), f"{self.name} does not count on {host}")

    def state(self, host: str) -> State:
        """Its newest line on a host."""
        line = eventually(lambda: self._line(host), f"{self.name} on {host} has no state")
        return State.parse(line)

    def sh(self, host: str, script: str) -> str:
        """What a shell script says that is run in it."""
        done = self.fleet.runtime(host).exec(self.name, ["sh", "-c", script])
        output = done.output.decode()
        assert done.exit_code == 0, output
        return output

    def forget(self) -> None:
        """Remove whatever any host has of it."""
        for host in self.fleet.hosts:
            runtime = self.fleet.runtime(host)
            runtime.remove(self.name, force=True, volumes=True)
            runtime.remove_volume(self.volume)
            runtime.remove_network(self.network)

    def _line(self, host: str) -> str:
        done = self.fleet.runtime(host).exec(self.name, ["cat", "/state/now"])
        return done.output.decode() if done.exit_code == 0 else ""

    def _later(self, host: str, first: State) -> State | None:
        state = self.state(host)
        return state if state.counter > first.counter else None


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{process}/task")
    lists = [(task / "children").read_text() for task in tasks.iterdir()]
    return [int(child) for line in lists for child in line.split()]


def ended(done: Done, code: int) -> Workflow:
    """The workflow that a command with this exit code printed."""
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return Workflow.model_validate_json(done.stdout)


def complaint(done: Done) -> str:
    """The one line with which a command was refused."""
    assert done.returncode == 1, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def stored_bytes(workflow: Workflow, unit: Unit) -> int:
    """How many bytes a finished unit of a workflow moved through the store."""
    step = workflow.done(unit)
    assert step is not None, f"{unit} did not finish"
    moved = step.result["bytes"]
    assert isinstance(moved, int)
    return moved
