"""What one suite is run against: runtimes, each with an image, and object stores."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runtime import (
    BuildSpec,
    CheckpointRuntime,
    CheckpointSpec,
    ExecFailedError,
    ExecResult,
    FakeRuntime,
    ImageInfo,
    PodmanRuntime,
    RunSpec,
    build_context,
)
from runtime.fake_state import FakeContainer
from storage import ObjectStore, open_objects
from tests.lab import Lab, lab
from tests.services import S3Server, minio_server, versitygw_server

CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""
# What only its memory knows is written where it is missing; a process that starts anew writes
# another. Not again and again: a file that is open while its layer is left out cannot be restored.
KEEPS_A_TOKEN = (
    "token=$(cat /proc/sys/kernel/random/uuid); echo started;"
    " while :; do [ -e /token ] || echo $token > /token; sleep 0.05; done"
)
EXITS_WITH_3 = ("sh", "-c", "echo out; exit 3")
MISSING = ("/nowhere/nosuch",)
PATIENCE_SECONDS = 20

T = TypeVar("T")


def wait_for(answer: Callable[[], T], what: str) -> T:
    """Ask until the answer is true or PATIENCE_SECONDS have passed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := answer():
            return found
        time.sleep(0.02)
    pytest.fail(f"{what} did not come within {PATIENCE_SECONDS} s")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A runtime under test and what a test needs around it."""

    runtime: CheckpointRuntime
    context: Path  # of a build
    image: str
    made: list[str] = field(default_factory=list)  # names of containers

    def create(self, **changes: Any) -> str:  # noqa: ANN401 - the fields of RunSpec
        """Create a container that keeps a token in its memory."""
        spec = {"image": self.image, "command": ("sh", "-c", KEEPS_A_TOKEN), **changes}
        spec = {"name": f"c-{uuid.uuid4().hex[:8]}", "stop_timeout_seconds": 1, **spec}
        self.made.append(str(spec["name"]))
        return self.runtime.run(RunSpec.model_validate(spec))

    def start(self, **changes: Any) -> str:  # noqa: ANN401 - the fields of RunSpec
        """Create and start a container; return when its process runs."""
        container = self.create(**changes)
        self.runtime.start(container)
        if isinstance(self.runtime, FakeRuntime):
            self.runtime.containers_by_id[container].log = b"started\n"
        self.token(container)
        return container

    def token(self, container: str) -> str:
        """Have the process write down what is in its memory, and read it."""
        self.runtime.exec(container, ("rm", "-f", "/token"))

        def written() -> str:
            result = self.runtime.exec(container, ("cat", "/token"))
            return "" if result.exit_code else result.output.decode().strip()

        return wait_for(written, "a token")

    def build(self, tag: str, **changes: Any) -> ImageInfo:  # noqa: ANN401 - the fields of BuildSpec
        """Build the context."""
        spec = BuildSpec(tag=tag, **changes)
        return self.runtime.build(spec, build_context(self.context), on_log=lambda line: None)

    def archive(self, container: str) -> bytes:
        """Checkpoint a container and read all of its archive."""
        with self.runtime.checkpoint(container, CheckpointSpec()) as chunks:
            return b"".join(chunks)

    def clean(self) -> None:
        """Remove the containers that a test made."""
        for name in self.made:
            self.runtime.remove(name, force=True, volumes=True)


def fake_runtime() -> FakeRuntime:
    """A fake whose containers keep their memory as the real ones' process does."""

    def missing(container: FakeContainer) -> ExecResult:
        raise ExecFailedError(container.id, MISSING[0], "there is no such command")

    runtime = FakeRuntime()
    runtime.commands = {
        ("cat", "/token"): lambda c: ExecResult(exit_code=0, output=c.memory),
        EXITS_WITH_3: lambda c: ExecResult(exit_code=3, output=b"out\n"),
        MISSING: missing,
        ("cat",): lambda c: ExecResult(exit_code=0, output=c.stdin),
    }
    return runtime


def write_context(path: Path, busybox: bytes) -> Path:
    """Write a build context for a small image with a shell."""
    (path / "Containerfile").write_text(CONTAINERFILE)
    (path / "busybox").write_bytes(busybox)
    (path / "busybox").chmod(0o755)
    return path


def busybox_of(made: Lab, host: str) -> bytes:
    """Fetch the static busybox of a lab host."""
    command = made.command("enter", host, "--", "cat", "/bin/busybox")
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with lab(["a"]) as made:
        context = write_context(tmp_path_factory.mktemp("context"), busybox_of(made, "a"))
        yield from subject_with_image(PodmanRuntime(made.socket("a")), context)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Subject]:
    yield from subject_with_image(fake_runtime(), write_context(tmp_path, b"busybox"))


def subject_with_image(runtime: FakeRuntime | PodmanRuntime, context: Path) -> Iterator[Subject]:
    made = Subject(runtime=runtime, context=context, image="localhost/contract/shell:1")
    made.build(made.image)
    yield made
    if isinstance(runtime, PodmanRuntime):
        runtime.close()


@pytest.fixture(params=["fake", pytest.param("podman", marks=pytest.mark.integration)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    made: Subject = request.getfixturevalue(request.param)
    yield made
    made.clean()


@pytest.fixture(scope="session")
def minio() -> Iterator[S3Server]:
    with minio_server() as server:
        yield server


@pytest.fixture(scope="session")
def versitygw() -> Iterator[S3Server]:
    with versitygw_server() as server:
        yield server


S3_SERVERS = [pytest.param(name, marks=pytest.mark.integration) for name in ("minio", "versitygw")]


@pytest.fixture(params=["memory", "local", *S3_SERVERS])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "memory":
        store = open_objects("memory://")
    elif request.param == "local":
        store = open_objects(tmp_path.as_uri())
    else:
        server: S3Server = request.getfixturevalue(request.param)
        store = server.objects(f"contract/{secrets.token_hex(4)}")
    store.check()
    with contextlib.closing(store):
        yield store
