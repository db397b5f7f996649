"""The engine's JSON about networks and volumes <-> our records. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from runtime.errors import UnsupportedOptionError
from runtime.object_specs import NetworkSpec, Subnet, VolumeSpec

# Docker's option for the host's interface below such a network; libpod has a field of its own.
PARENT = "parent"
WITH_PARENT = frozenset({"macvlan", "ipvlan"})


def network_spec(network: Mapping[str, Any]) -> NetworkSpec:
    """Read ``GET /networks/{name}`` or libpod's ``GET /networks/{name}/json``."""
    return _docker_network(network) if "IPAM" in network else _libpod_network(network)


def volume_spec(volume: Mapping[str, Any]) -> VolumeSpec:
    """Read ``GET /volumes/{name}``; Podman adds what it made of ``o``, in capitals."""
    options: Mapping[str, str] = volume.get("Options") or {}
    return VolumeSpec(
        name=volume["Name"],
        driver=volume.get("Driver") or "local",
        labels=volume.get("Labels") or {},
        options={key: value for key, value in options.items() if not key.isupper()},
    )


def docker_network_body(spec: NetworkSpec) -> dict[str, Any]:
    """Build the arguments of the Docker SDK's ``create_network``."""
    if not spec.dns:
        raise UnsupportedOptionError("dns", "only Podman makes a network without name resolution")
    config = [
        {"Subnet": s.subnet, "Gateway": s.gateway or None, "IPRange": _as_cidr(s) or None}
        for s in spec.subnets
    ]
    return {
        "name": spec.name,
        "driver": spec.driver,
        "labels": spec.labels,
        "options": spec.options,
        "internal": spec.internal,
        "enable_ipv6": spec.ipv6,
        "ipam": {"Driver": "default", "Config": config} if config else None,
    }


def libpod_network_body(spec: NetworkSpec) -> dict[str, Any]:
    """Build the JSON of libpod's ``POST /networks/create``."""
    subnets = []
    for subnet in spec.subnets:
        entry: dict[str, Any] = {"subnet": subnet.subnet}
        if subnet.gateway:
            entry["gateway"] = subnet.gateway
        if subnet.range_start or subnet.range_end:
            entry["lease_range"] = {"start_ip": subnet.range_start, "end_ip": subnet.range_end}
        subnets.append(entry)
    options = dict(spec.options)
    return {
        "network_interface": options.pop(PARENT, "") if spec.driver in WITH_PARENT else "",
        "name": spec.name,
        "driver": spec.driver,
        "labels": spec.labels,
        "options": options,
        "internal": spec.internal,
        "ipv6_enabled": spec.ipv6,
        "dns_enabled": spec.dns and spec.driver == "bridge",  # the others cannot
        "subnets": subnets,
    }


def _docker_network(network: Mapping[str, Any]) -> NetworkSpec:
    return NetworkSpec(
        name=network["Name"],
        driver=network["Driver"],
        labels=network.get("Labels") or {},
        options=network.get("Options") or {},
        subnets=tuple(map(_docker_subnet, network["IPAM"].get("Config") or ())),
        internal=network.get("Internal", False),
        ipv6=network.get("EnableIPv6", False),
    )


def _docker_subnet(config: Mapping[str, str]) -> Subnet:
    ends: dict[str, str] = {}
    if text := config.get("IPRange"):
        cidr = ipaddress.ip_network(text)
        ends = {"range_start": str(cidr[0]), "range_end": str(cidr[-1])}
    return Subnet(subnet=config["Subnet"], gateway=config.get("Gateway") or "", **ends)


def _as_cidr(subnet: Subnet) -> str:
    """Spell a range as Docker wants it; Podman leaves the network's own address out of it."""
    if not subnet.range_start and not subnet.range_end:
        return ""
    try:
        first = ipaddress.ip_address(subnet.range_start)
        last = ipaddress.ip_address(subnet.range_end)
        for start in (first, first - 1):
            found = list(ipaddress.summarize_address_range(start, last))
            if len(found) == 1:
                return str(found[0])
    except (ValueError, TypeError):
        pass
    raise UnsupportedOptionError("subnets.range_start", "Docker takes ranges that are subnets")


def _libpod_network(network: Mapping[str, Any]) -> NetworkSpec:
    options = dict(network.get("options") or {})
    if network["driver"] in WITH_PARENT and network.get("network_interface"):
        options[PARENT] = network["network_interface"]
    return NetworkSpec(
        name=network["name"],
        driver=network["driver"],
        labels=network.get("labels") or {},
        options=options,
        subnets=tuple(map(_libpod_subnet, network.get("subnets") or ())),
        internal=network.get("internal", False),
        ipv6=network.get("ipv6_enabled", False),
        dns=network.get("dns_enabled", False) or network["driver"] != "bridge",
    )


def _libpod_subnet(subnet: Mapping[str, Any]) -> Subnet:
    lease = subnet.get("lease_range") or {}
    return Subnet(
        subnet=subnet["subnet"],
        gateway=subnet.get("gateway") or "",
        range_start=lease.get("start_ip") or "",
        range_end=lease.get("end_ip") or "",
    )
