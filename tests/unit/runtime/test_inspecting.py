from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import (
    ContainerState,
    HealthCheck,
    Limits,
    Logging,
    Mount,
    Namespaces,
    NetworkAttachment,
    Port,
    RestartPolicy,
    RunSpec,
    Security,
)
from runtime.creating import create_body
from runtime.inspecting import (
    container_info,
    container_state,
    image_info,
    label_filter,
)

RECORDED = Path(__file__).parent / "recorded"
ANONYMOUS = "b594763f5c2c6e726aaec775b4ed24f16e0e1e7f70d94cb2152427ded11c251c"


def recorded(name: str) -> dict[str, Any]:
    """Podman 5.4's answer to GET /containers/{id}/json on the compatible socket."""
    answer: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return answer


def anonymous_volume(container: dict[str, Any]) -> str:
    names = {str(m["Destination"]): str(m["Name"]) for m in container["Mounts"] if "Name" in m}
    return names["/anon"]


def test_a_container_with_everything() -> None:
    container = recorded("full")
    spec = RunSpec.from_inspect(container)

    assert spec.name == "full"
    assert spec.image == "localhost/pf/rt:1"
    assert spec.entrypoint == ("/bin/sh", "-c")
    assert spec.command == ("sleep 1000",)
    assert spec.labels == {"io.buildah.version": "1.39.3", "l": "v", "made": "by-test"}
    assert set(spec.mounts) == {
        Mount(type="volume", source="vol1", target="/data"),
        Mount(type="volume", source=anonymous_volume(container), target="/anon"),
        Mount(type="bind", source="/tmp", target="/hosttmp", read_only=True),
        Mount(type="tmpfs", target="/scratch", options="rw,rprivate,nosuid,nodev,tmpcopyup"),
    }
    assert spec.ports == (Port(container_port=80, host_port=8080),)
    assert spec.networks == (
        NetworkAttachment(name="net1", aliases=("web",)),
        NetworkAttachment(name="net2", aliases=("w2",)),
    )
    assert spec.restart == RestartPolicy(name="on-failure", max_retries=3)
    assert (spec.user, spec.workdir, spec.stop_timeout_seconds) == ("1000", "/srv", 3)
    assert spec.limits == Limits()
    assert spec.security == Security()
    assert spec.namespaces == Namespaces()
    assert spec.logging == Logging()


def test_what_the_engine_made_up_does_not_travel() -> None:
    spec = RunSpec.from_inspect(recorded("full"))

    assert spec.hostname == ""
    assert set(spec.env) == {"X", "COLOR", "PATH", "HOME"}


def test_the_default_network_is_no_network_of_its_own() -> None:
    spec = RunSpec.from_inspect(recorded("plain"))

    assert spec.networks == ()
    assert spec.restart == RestartPolicy()


def test_names_that_were_asked_for_travel() -> None:
    container = recorded("plain")
    container["Config"]["Hostname"] = "mail"
    container["Config"]["Env"] = ["HOSTNAME=other", "HOME=/srv/x", "container=mine", "A=b=c"]

    spec = RunSpec.from_inspect(container)

    assert spec.hostname == "mail"
    assert spec.env == {
        "HOSTNAME": "other",
        "HOME": "/srv/x",
        "container": "mine",
        "A": "b=c",
    }


@pytest.mark.parametrize("mode", ["host", "none"])
def test_a_network_mode_is_carried_as_a_network(mode: str) -> None:
    container = recorded("plain")
    container["HostConfig"]["NetworkMode"] = mode
    container["NetworkSettings"]["Networks"] = {mode: {"Aliases": None}}
    container["Config"]["Hostname"] = "a-host" if mode == "host" else container["Id"][:12]

    spec = RunSpec.from_inspect(container)

    assert spec.networks == (NetworkAttachment(name=mode),)
    assert spec.hostname == ""
    body = create_body(spec)
    assert body["HostConfig"]["NetworkMode"] == mode
    assert "NetworkingConfig" not in body


def test_a_cpu_limit_travels_once() -> None:
    container = recorded("plain")
    cpus = {"NanoCpus": 500_000_000, "CpuPeriod": 100_000, "CpuQuota": 50_000}
    container["HostConfig"] |= cpus

    assert RunSpec.from_inspect(container).limits == Limits(cpus=0.5)


def test_the_info_around_the_spec() -> None:
    container = recorded("full")
    info = container_info(container)

    assert info.id == container["Id"]
    assert info.image_id == container["Image"].removeprefix("sha256:")
    assert info.state is ContainerState.RUNNING
    assert info.pid == container["State"]["Pid"] > 0
    assert info.volumes == (anonymous_volume(container), "vol1")
    assert info.health == HealthCheck(
        command=("/bin/sh", "-c", "test -e /bin/sh"),
        interval_seconds=2,
        timeout_seconds=3,
        retries=4,
        start_period_seconds=1,
    )


def test_a_checkpointed_container_has_no_process_whatever_podman_remembers() -> None:
    container = recorded("full")
    container["State"] |= {"Status": "exited", "Running": False, "Pid": 982}

    assert container_info(container).pid == 0


def test_states_that_callers_do_not_tell_apart() -> None:
    assert container_state("configured") is ContainerState.CREATED
    assert container_state("stopped") is ContainerState.EXITED
    assert container_state("removing") is ContainerState.OTHER


@pytest.mark.parametrize(
    ("digests", "expected"),
    [(["localhost/a@sha256:1"], False), (["registry.example/a@sha256:1"], True), (None, False)],
)
def test_only_a_registrys_image_can_be_pulled_again(
    digests: list[str] | None, expected: bool
) -> None:
    image = {"Id": f"sha256:{ANONYMOUS}", "RepoTags": ["a:1"], "RepoDigests": digests, "Size": 5}

    info = image_info(image)

    assert info.from_registry is expected
    assert info.id == ANONYMOUS


def test_an_empty_label_filter_is_refused() -> None:
    assert label_filter({"a": "b"}) == ["a=b"]
    with pytest.raises(ValueError, match="everything"):
        label_filter({})
