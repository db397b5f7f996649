from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from runtime import (
    CheckpointFailedError,
    CheckpointRuntime,
    CheckpointSpec,
    CheckpointUnsupportedError,
    DockerRuntime,
    EngineError,
    HealthCheck,
    Limits,
    Logging,
    PodmanRuntime,
    Port,
    RestoreSpec,
    RunSpec,
    Runtime,
    UnsupportedOptionError,
)
from runtime import podman as podman_module
from runtime.deriving import ASKED
from runtime.podman_requests import restore_params
from tests.unit.runtime.fidelity.tars import contents, member, tar
from tests.unit.runtime.preflight.answers import INFO
from tests.unit.runtime.server import Answer, document, engine, refusal

RECORDED = json.loads((Path(__file__).parent / "recorded" / "full.json").read_text())
CONTAINER = RECORDED["Id"]
INFRA, OTHER = "1" * 64, "2" * 64
IMAGE = "3" * 64


class Podman:
    """Answers for one container that runs."""

    def __init__(self, **hidden: object) -> None:
        self.hidden = hidden
        self.checkpoint: Answer = (200, tar(member("config.dump", b"{}")))
        self.changes = document([{"Path": "/etc/motd", "Kind": 0}, {"Path": "/gone", "Kind": 2}])
        self.export: Answer = (200, tar(member("etc/motd", b"new"), member("bin/sh", b"-")))
        self.asked: list[str] = []

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.asked.append(path)
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if INFRA in path or OTHER in path:
            return document({**RECORDED, "IsInfra": INFRA in path})
        for question in "checkpoint", "changes", "export":
            if f"/{CONTAINER}/{question}" in path.partition("?")[0]:
                return cast("Answer", getattr(self, question))
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


def test_what_podman_says_of_itself_is_good_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        asked.append(path)
        return document(INFO)

    with engine(tmp_path / "s", answer) as socket:
        runtime = PodmanRuntime(socket)
        assert runtime.capabilities().version == runtime.host_facts().version
        assert len(asked) == 1
        monkeypatch.setattr(podman_module, "INFO_SECONDS", 0.0)
        runtime.host_facts()
        assert len(asked) == 2


def test_a_checkpoint_is_streamed(tmp_path: Path) -> None:
    podman = Podman()

    archive = contents(checkpointed(tmp_path, podman))

    assert archive["config.dump"] == b"{}"
    (asked,) = (path for path in podman.asked if "/checkpoint?" in path)
    options = "ignoreRootFS=true&leaveRunning=false&tcpEstablished=true&fileLocks=true&keep=false"
    assert asked.endswith(f"export=true&{options}")


def test_a_layer_out_of_sight_is_asked_for_once_the_process_is_stopped(tmp_path: Path) -> None:
    podman = Podman()

    archive = contents(checkpointed(tmp_path, podman))

    assert contents(archive["rootfs-diff.tar"]) == {"etc/motd": b"new"}
    assert json.loads(archive["deleted.files"]) == ["/gone"]
    questions = [path.rpartition("/")[2].partition("?")[0] for path in podman.asked]
    assert questions[-4:] == ["changes", "checkpoint", "changes", "export"]


def test_a_layer_in_sight_is_read_from_the_hosts_files(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "f").write_bytes(b"exact")
    podman = Podman(GraphDriver={"Name": "overlay", "Data": {"UpperDir": str(upper)}})

    archive = contents(checkpointed(tmp_path, podman))

    assert contents(archive["rootfs-diff.tar"]) == {"": b"", "f": b"exact"}
    assert not any("/export" in path or "/changes" in path for path in podman.asked)


def test_a_layer_that_is_not_all_in_sight_is_asked_for_too(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "a").write_bytes(b"read before the mark is seen")
    (upper / "b").mkdir()
    (upper / "b" / ".wh.gone").touch()
    podman = Podman(GraphDriver={"Name": "overlay", "Data": {"UpperDir": str(upper)}})

    archive = contents(checkpointed(tmp_path, podman))

    assert contents(archive["rootfs-diff.tar"]) == {"etc/motd": b"new"}


def test_changes_that_the_engine_cannot_tell_are_refused_before_any_work(tmp_path: Path) -> None:
    podman = Podman()
    podman.changes = refusal(500, "computing changes: not a directory")

    with pytest.raises(CheckpointUnsupportedError, match="not a directory"):
        checkpointed(tmp_path, podman)
    assert not any("/checkpoint" in path for path in podman.asked)


@pytest.mark.parametrize("export", [(200, b"no tar" * 200), refusal(500, "no such layer")])
def test_a_layer_that_cannot_be_read_fails_the_checkpoint(tmp_path: Path, export: Answer) -> None:
    podman = Podman()
    podman.export = export

    with pytest.raises(CheckpointFailedError):
        checkpointed(tmp_path, podman)


def test_an_archive_that_is_cut_fails_the_checkpoint(tmp_path: Path) -> None:
    podman = Podman()
    podman.checkpoint = (200, tar(member("config.dump", b"{}"))[:600])

    with pytest.raises(CheckpointFailedError, match="ended early"):
        checkpointed(tmp_path, podman)


def test_a_pods_infra_container_is_a_dependency_that_may_be(tmp_path: Path) -> None:
    podman = Podman(Pod="p", Dependencies=[INFRA])
    assert checkpointed(tmp_path, podman)
    assert not any("/pods/" in path for path in podman.asked)  # which can stop Podman for good


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


def test_looking_at_a_container_does_not_need_the_probe_of_the_defaults(tmp_path: Path) -> None:
    full: list[bytes] = []

    def respond(method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if "/containers/create" in path:
            full.append(body)
            return refusal(500, "no space left on device")
        return document(RECORDED)

    with engine(tmp_path / "s", respond) as socket:
        runtime = PodmanRuntime(socket)
        first, second = runtime.inspect("full"), runtime.inspect("full")
        runtime.close()

    assert first == second
    assert first.spec.limits == Limits()  # as if its ulimits were this engine's own
    assert len(full) == 2  # it is tried again


def test_the_defaults_are_looked_at_once_and_the_probe_is_removed(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []
    probe = {**RECORDED, "Id": "9" * 64}
    probe["HostConfig"] = {**RECORDED["HostConfig"], "Ulimits": [], "PidsLimit": 7}

    def respond(method: str, path: str, body: bytes) -> Answer:
        asked.append((method, path))
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if "/containers/create" in path:
            return document({"Id": "9" * 64, "Warnings": []}, 201)
        return document(probe if "9" * 64 in path else RECORDED)

    with engine(tmp_path / "s", respond) as socket:
        runtime = PodmanRuntime(socket)
        first, second = runtime.inspect("full"), runtime.inspect("full")
        runtime.close()

    assert first == second
    assert first.spec.limits.pids == 2048
    assert [limit.name for limit in first.spec.limits.ulimits] == ["nofile", "nproc"]
    assert sum("/containers/create" in path for _, path in asked) == 1
    assert [method for method, path in asked if "9" * 64 in path] == ["GET", "DELETE"]


def test_a_swap_limit_that_cannot_be_lifted_leaves_no_container(tmp_path: Path) -> None:
    asked: list[str] = []

    def respond(method: str, path: str, body: bytes) -> Answer:
        asked.append(f"{method} {path.partition('?')[0]}")
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if path.endswith("/update"):
            return refusal(500, "no such controller")
        return document({"Id": "9" * 64, "Warnings": [], "Size": 0}, 201)

    limits = Limits(memory_bytes=1 << 27, memory_swap_bytes=-1)
    with engine(tmp_path / "s", respond) as socket:
        runtime = PodmanRuntime(socket)
        with pytest.raises(EngineError, match="no such controller"):
            runtime.run(RunSpec(name="c", image="i", limits=limits))
        runtime.close()

    assert asked[-1].startswith("DELETE ")


@pytest.mark.parametrize(
    ("health", "kept"),
    [
        (
            None,
            HealthCheck(command=("image's",), interval_seconds=30, timeout_seconds=30, retries=3),
        ),
        (HealthCheck(command=("own",)), HealthCheck(command=("own",))),
        (HealthCheck(), None),
    ],
)
def test_podman_never_gets_a_check_of_its_own_to_run(
    tmp_path: Path, health: HealthCheck | None, kept: HealthCheck | None
) -> None:
    image = {"Id": IMAGE, "Size": 0, "Healthcheck": {"Test": ["CMD", "image's"]}}
    sent: list[dict[str, Any]] = []

    def respond(method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if "/images/" in path:
            return document(image)
        sent.append(json.loads(body))
        return document({"Id": "9" * 64, "Warnings": []}, 201)

    with engine(tmp_path / "s", respond) as socket:
        runtime = PodmanRuntime(socket)
        runtime.run(RunSpec(name="c", image="i", health=health))
        runtime.close()

    (body,) = sent
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    asked = json.loads(body["HostConfig"].get("Annotations", {}).get(ASKED, "{}"))
    assert asked == ({"health": kept.model_dump(mode="json")} if kept else {})


@pytest.mark.parametrize(("version", "honoured"), [("1.43", False), ("1.44", True)])
def test_an_old_docker_would_drop_the_start_interval(
    tmp_path: Path, version: str, honoured: bool
) -> None:
    def respond(method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/version"):
            return document({"ApiVersion": version})
        return document({"Id": "9" * 64, "Warnings": []}, 201)

    health = HealthCheck(command=("x",), start_interval_seconds=1)
    with engine(tmp_path / "s", respond) as socket:
        runtime = DockerRuntime(socket)
        with nullcontext() if honoured else pytest.raises(UnsupportedOptionError, match=r"1\.44"):
            runtime.run(RunSpec(name="c", image="i", health=health))
        runtime.close()


def test_only_journald_has_a_tag() -> None:
    logging = Logging(driver="k8s-file", options={"tag": "t"})

    with pytest.raises(UnsupportedOptionError, match="journald"):
        PodmanRuntime("/nowhere").run(RunSpec(name="c", image="i", logging=logging))


def test_ports_of_a_restore_are_spelled_as_podman_takes_them() -> None:
    ports = (
        Port(container_port=80, host_port=8080, host_ip="127.0.0.1"),
        Port(container_port=53, host_port=0, protocol="udp"),
    )

    params = restore_params(RestoreSpec(publish=ports))

    assert params["publishPorts"] == ["127.0.0.1:8080:80/tcp", ":53/udp"]


def test_every_option_of_a_restore_is_sent() -> None:
    given = RestoreSpec(
        tcp_established=False,
        file_locks=False,
        ignore_rootfs=True,
        ignore_volumes=True,
        ignore_static_ip=True,
        ignore_static_mac=True,
        pod="p",
        keep=True,
    )

    assert restore_params(given) == {
        "tcpEstablished": False,
        "fileLocks": False,
        "ignoreRootFS": True,
        "ignoreVolumes": True,
        "ignoreStaticIP": True,
        "ignoreStaticMAC": True,
        "publishPorts": None,
        "pod": "p",
        "keep": True,
    }


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
