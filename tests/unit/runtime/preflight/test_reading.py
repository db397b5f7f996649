from __future__ import annotations

import pytest

from runtime import ContainerState, HostFacts
from runtime.preflight.facts import Attachment, BindFacts, NetworkFacts, PublishedPort
from runtime.preflight.reading import read_container, read_host, read_network, read_ports
from tests.unit.runtime.preflight.answers import CONTAINER, IMAGE, INFO, LIST, NETWORK, WEB


def test_a_host_is_read() -> None:
    assert read_host(INFO) == HostFacts(
        engine="podman",
        version="5.4.2",
        architecture="amd64",
        kernel="6.18.44",
        oci_runtime="runc",
        cgroups="v1 cgroupfs",
        memory_free_bytes=1000,
        disk_free_bytes=3000,
        graph_root="/c/storage",
    )


def test_a_container_is_read_without_its_environment() -> None:
    facts = read_container(CONTAINER)

    assert (facts.container_id, facts.name, facts.state) == (WEB, "web", ContainerState.RUNNING)
    assert (facts.image, facts.image_id) == ("localhost/web:1", IMAGE)
    assert facts.auto_remove
    assert facts.systemd
    assert facts.user_namespace == "private"
    assert facts.volumes == ("data",)
    assert facts.binds == (BindFacts(source="/srv/web", target="/www"),)
    assert facts.overlays == ("/site",)
    assert facts.secrets == ("tok",)
    assert facts.devices == ("/dev/fuse",)
    assert facts.ports == (
        PublishedPort(port=8080),
        PublishedPort(port=5353, protocol="udp", address="127.0.0.1"),
    )
    assert facts.networks == (
        Attachment(network=NetworkFacts(name="net"), addresses=("10.89.0.7", "fd00::7")),
    )
    assert facts.layer_bytes == 6171
    assert "s3cret" not in facts.model_dump_json()


@pytest.mark.parametrize("mode", [f"container:{WEB}", "ns:/run/netns/x"])
def test_networks_of_a_joined_namespace_are_not_its_own(mode: str) -> None:
    host = {**CONTAINER["HostConfig"], "NetworkMode": mode}
    assert read_container({**CONTAINER, "HostConfig": host}).networks == ()


def test_a_host_network_is_no_network_of_the_engine() -> None:
    settings = {"Networks": {"host": {"IPAddress": ""}}}
    assert read_container({**CONTAINER, "NetworkSettings": settings}).networks == ()


def test_a_network_is_read_with_the_addresses_that_are_taken() -> None:
    assert read_network(NETWORK) == NetworkFacts(
        name="net",
        dns=True,
        subnets=("10.89.0.0/24",),
        options={"mtu": "1400"},
        taken={"10.89.0.9": "shop"},
    )


def test_ports_of_running_containers_are_read_with_their_range() -> None:
    assert list(read_ports(LIST)) == [
        PublishedPort(port=8080, owner="shop"),
        PublishedPort(port=8081, owner="shop"),
    ]
