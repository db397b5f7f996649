"""The Docker-compatible surface alone, as a Docker host has it, on Podman's compatible socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import (
    BuildSpec,
    BuildStep,
    ContainerNotFoundError,
    ContainerState,
    DockerRuntime,
    NetworkAttachment,
    NetworkExistsError,
    NetworkNotFoundError,
    NetworkSpec,
    RunSpec,
    Subnet,
    UnsupportedOptionError,
    build_context,
)
from tests.contract.conftest import busybox_of, write_context
from tests.lab import Lab, lab

pytestmark = pytest.mark.integration

IMAGE = "localhost/docker/shell:1"


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab(["a"]) as made:
        yield made


@pytest.fixture(scope="module")
def docker(host: Lab) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(host.socket("a"))
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def steps(docker: DockerRuntime, host: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """The steps of building the image that the others use."""
    context: Path = write_context(tmp_path_factory.mktemp("context"), busybox_of(host, "a"))
    spec, told = BuildSpec(tag=IMAGE, containerfile="Containerfile", labels={"of": "docker"}), []

    def on_step(step: BuildStep) -> None:
        told.append(step.number)

    docker.build(spec, build_context(context), on_log=lambda line: None, on_step=on_step)
    return told


def test_what_it_is(docker: DockerRuntime) -> None:
    capabilities = docker.capabilities()

    assert capabilities.engine == "docker"
    assert not capabilities.checkpoint
    assert "cannot restore" in capabilities.checkpoint_reason


def test_a_build(docker: DockerRuntime, steps: list[int]) -> None:
    assert steps == [1, 2, 3, 4]  # its label is an instruction of its own
    assert docker.image(IMAGE).labels["of"] == "docker"
    with pytest.raises(UnsupportedOptionError):
        docker.build(BuildSpec(tag="t", secrets={"a": "b"}), [], on_log=lambda line: None)


@pytest.mark.usefixtures("steps")
def test_a_container_in_two_networks(docker: DockerRuntime) -> None:
    docker.create_network(NetworkSpec(name="first"))
    docker.create_network(NetworkSpec(name="second", subnets=(Subnet(subnet="10.74.0.0/24"),)))
    further = NetworkAttachment(name="second", aliases=("web",), ipv4="10.74.0.9")
    asked = RunSpec(
        name="docker",
        image=IMAGE,
        command=("sh", "-c", "while :; do ip addr > /seen; sleep 0.1; done"),
        networks=(NetworkAttachment(name="first"), further),
        stop_timeout_seconds=0,
    )

    container = docker.run(asked)
    docker.start(container)
    info = docker.inspect("docker")
    said = docker.exec(container, ("ip", "addr")).output
    docker.remove(container, force=True)

    assert info.state is ContainerState.RUNNING
    assert info.spec.command == asked.command
    assert [n.aliases for n in info.spec.networks] == [(), ("web",)]
    assert b"10.74.0.9/24" in said
    nowhere = (asked.networks[0], NetworkAttachment(name="nowhere"))
    with pytest.raises(NetworkNotFoundError):
        docker.run(asked.model_copy(update={"networks": nowhere}))
    with pytest.raises(ContainerNotFoundError):
        docker.inspect("docker")
    docker.remove_network("first")
    docker.remove_network("second")


def test_a_network_with_a_range(docker: DockerRuntime) -> None:
    subnet = Subnet(subnet="10.75.0.0/24", range_start="10.75.0.129", range_end="10.75.0.255")
    spec = NetworkSpec(name="ranged", subnets=(subnet,))

    docker.create_network(spec)
    docker.create_network(NetworkSpec(name="ranged"))

    with pytest.raises(NetworkExistsError):
        docker.create_network(NetworkSpec(name="ranged", labels={"other": "labels"}))
    with pytest.raises(UnsupportedOptionError):
        docker.create_network(NetworkSpec(name="silent", dns=False))
    docker.remove_network("ranged")
