from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime import (
    CheckpointFailedError,
    CheckpointRuntime,
    CheckpointSpec,
    CheckpointUnsupportedError,
    DockerRuntime,
    PodmanRuntime,
    Runtime,
)
from tests.unit.runtime.server import Answer, document, engine, refusal

RECORDED = json.loads((Path(__file__).parent / "recorded" / "full.json").read_text())
INFRA, OTHER = "1" * 64, "2" * 64


class Podman:
    """Answers for one container that runs."""

    def __init__(self, **hidden: object) -> None:
        self.hidden = hidden
        self.checkpoint: Answer = (200, b"tar")
        self.asked: list[str] = []

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.asked.append(path)
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if "/pods/" in path:
            return document({"InfraContainerID": INFRA})
        if "/checkpoint?" in path:
            return self.checkpoint
        return document({**RECORDED, **self.hidden})


def checkpointed(path: Path, podman: Podman) -> bytes:
    with engine(path / "s", podman) as socket:
        runtime = PodmanRuntime(socket)
        try:
            with runtime.checkpoint("full", CheckpointSpec()) as chunks:
                return b"".join(chunks)
        finally:
            runtime.close()


def test_both_are_what_the_protocols_ask_for() -> None:
    assert isinstance(DockerRuntime("/s"), Runtime)
    assert not isinstance(DockerRuntime("/s"), CheckpointRuntime)
    assert isinstance(PodmanRuntime("/s"), CheckpointRuntime)


def test_a_checkpoint_is_streamed(tmp_path: Path) -> None:
    podman = Podman()

    assert checkpointed(tmp_path, podman) == b"tar"
    assert "export=true&leaveRunning=false&tcpEstablished=true&fileLocks=true" in podman.asked[-1]


def test_a_pods_infra_container_is_a_dependency_that_may_be(tmp_path: Path) -> None:
    assert checkpointed(tmp_path, Podman(Pod="p", Dependencies=[INFRA])) == b"tar"


@pytest.mark.parametrize("pod", ["", "p"])
def test_other_dependencies_are_refused_before_any_work(tmp_path: Path, pod: str) -> None:
    podman = Podman(Pod=pod, Dependencies=[OTHER])

    with pytest.raises(CheckpointUnsupportedError, match=OTHER):
        checkpointed(tmp_path, podman)
    assert not any("/checkpoint" in path for path in podman.asked)


def test_a_refusal_is_raised_on_entering(tmp_path: Path) -> None:
    podman = Podman()
    podman.checkpoint = refusal(500, "`/usr/bin/runc checkpoint` failed: exit status 1")

    with pytest.raises(CheckpointFailedError) as caught:
        checkpointed(tmp_path, podman)

    assert caught.value.container == "full"
    assert "exit status 1" in caught.value.reason


def test_an_empty_archive_is_none(tmp_path: Path) -> None:
    podman = Podman()
    podman.checkpoint = (200, b"")

    with pytest.raises(CheckpointFailedError, match="empty"):
        checkpointed(tmp_path, podman)


def test_the_probe_runs_once_and_its_complaint_stands() -> None:
    calls = []

    def probe() -> None:
        calls.append(1)
        raise OSError("criu is not installed")

    runtime = PodmanRuntime("/nowhere", probe)
    for _ in range(2):
        with (
            pytest.raises(CheckpointUnsupportedError, match="criu is not installed"),
            runtime.checkpoint("c", CheckpointSpec()),
        ):
            pass

    assert calls == [1]
