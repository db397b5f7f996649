from __future__ import annotations

from typing import Any

import pytest

from runtime import NetworkSpec, Subnet, UnsupportedOptionError, VolumeSpec
from runtime.object_answers import docker_network_body, libpod_network_body

# Podman 5.4.2's answers, as they came, without the times and ids.
LIBPOD: dict[str, Any] = {
    "name": "s1",
    "driver": "bridge",
    "network_interface": "podman3",
    "subnets": [
        {
            "subnet": "10.80.0.0/24",
            "gateway": "10.80.0.9",
            "lease_range": {"start_ip": "10.80.0.129", "end_ip": "10.80.0.255"},
        }
    ],
    "ipv6_enabled": False,
    "internal": True,
    "dns_enabled": True,
    "labels": {"a": "b"},
    "options": {"isolate": "true", "mtu": "1400"},
    "ipam_options": {"driver": "host-local"},
}
COMPATIBLE: dict[str, Any] = {
    "Name": "s1",
    "Driver": "bridge",
    "EnableIPv6": False,
    "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.80.0.0/24", "Gateway": "10.80.0.9"}]},
    "Internal": True,
    "Options": {"mtu": "1400"},
    "Labels": {"a": "b"},
}
MACVLAN: dict[str, Any] = {
    "name": "s4",
    "driver": "macvlan",
    "network_interface": "eth0",
    "dns_enabled": False,
    "ipam_options": {"driver": "dhcp"},
}


def test_a_network_as_libpod_tells_it() -> None:
    spec = NetworkSpec.from_inspect(LIBPOD)

    assert spec == NetworkSpec(
        name="s1",
        labels={"a": "b"},
        options={"isolate": "true", "mtu": "1400"},
        internal=True,
        subnets=(
            Subnet(
                subnet="10.80.0.0/24",
                gateway="10.80.0.9",
                range_start="10.80.0.129",
                range_end="10.80.0.255",
            ),
        ),
    )
    body = libpod_network_body(spec)
    assert {key: body[key] for key in ("subnets", "options", "labels", "internal")} == {
        key: LIBPOD[key] for key in ("subnets", "options", "labels", "internal")
    }


def test_a_network_as_the_docker_api_tells_it() -> None:
    spec = NetworkSpec.from_inspect(COMPATIBLE)

    assert spec.subnets == (Subnet(subnet="10.80.0.0/24", gateway="10.80.0.9"),)
    assert spec.internal
    assert docker_network_body(spec)["ipam"]["Config"] == [
        {"Subnet": "10.80.0.0/24", "Gateway": "10.80.0.9", "IPRange": None}
    ]


def test_the_interface_below_a_macvlan_travels() -> None:
    spec = NetworkSpec.from_inspect(MACVLAN)
    body = libpod_network_body(spec)

    assert spec.options == {"parent": "eth0"}
    assert (body["network_interface"], body["options"], body["dns_enabled"]) == ("eth0", {}, False)
    assert NetworkSpec.from_inspect({**MACVLAN, **body}) == spec


@pytest.mark.parametrize(
    ("start", "end", "cidr"),
    [
        ("10.80.0.128", "10.80.0.255", "10.80.0.128/25"),
        ("10.80.0.129", "10.80.0.255", "10.80.0.128/25"),
    ],
)
def test_a_range_that_is_a_subnet_can_be_said_to_docker(start: str, end: str, cidr: str) -> None:
    subnet = Subnet(subnet="10.80.0.0/24", range_start=start, range_end=end)

    config = docker_network_body(NetworkSpec(name="n", subnets=(subnet,)))["ipam"]["Config"]

    assert config[0]["IPRange"] == cidr
    told = NetworkSpec.from_inspect({**COMPATIBLE, "IPAM": {"Config": config}}).subnets[0]
    assert (told.range_start, told.range_end) == ("10.80.0.128", "10.80.0.255")


@pytest.mark.parametrize(
    "ends",
    [
        {"range_start": "10.80.0.10", "range_end": "10.80.0.20"},
        {"range_start": "10.80.0.10"},
        {"range_start": "10.80.0.10", "range_end": "fd00::1"},
    ],
)
def test_any_other_range_is_refused_for_docker(ends: dict[str, str]) -> None:
    spec = NetworkSpec(name="n", subnets=(Subnet(subnet="10.80.0.0/24", **ends),))

    with pytest.raises(UnsupportedOptionError):
        docker_network_body(spec)


@pytest.mark.parametrize(
    ("asked", "satisfied"),
    [
        ({}, False),
        ({"labels": {"a": "b"}, "internal": True}, True),
        ({"labels": {"a": "b"}}, False),
        ({"labels": {"a": "b"}, "internal": True, "options": {"mtu": "1400"}}, True),
        ({"labels": {"a": "b"}, "internal": True, "options": {"mtu": "1300"}}, False),
        ({"labels": {"a": "b"}, "internal": True, "subnets": [{"subnet": "10.80.0.0/24"}]}, True),
        ({"labels": {"a": "b"}, "internal": True, "subnets": [{"subnet": "10.9.0.0/24"}]}, False),
        ({"labels": {"a": "b"}, "internal": True, "dns": False}, False),
    ],
)
def test_a_network_that_is_there_does_or_does_not(asked: dict[str, Any], satisfied: bool) -> None:
    spec = NetworkSpec.model_validate({"name": "s1", **asked})

    assert spec.satisfied_by(NetworkSpec.from_inspect(LIBPOD)) is satisfied


def test_a_volume_without_what_podman_made_of_its_options() -> None:
    options = {"SIZE": "2m", "device": "tmpfs", "o": "size=2m,nodev", "type": "tmpfs"}

    spec = VolumeSpec.from_inspect({"Name": "w1", "Driver": "local", "Options": options})

    assert spec.options == {"device": "tmpfs", "o": "size=2m,nodev", "type": "tmpfs"}
