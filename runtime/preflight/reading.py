"""Podman's JSON answers -> facts. Pure; shapes are those of libpod's API, version 5.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.inspecting import bare_id, container_state
from runtime.preflight.facts import (
    Attachment,
    BindFacts,
    ContainerFacts,
    HostFacts,
    NetworkFacts,
    PublishedPort,
)

EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what an engine reports for "all"


def read_host(info: Mapping[str, Any]) -> HostFacts:
    """Read ``/info``. Its free memory leaves out what the kernel would give back."""
    host, store = info["host"], info["store"]
    return HostFacts(
        engine="podman",
        version=info["version"]["Version"],
        architecture=host["arch"],
        kernel=host["kernel"],
        oci_runtime=host["ociRuntime"]["name"],
        cgroups=f"{host['cgroupVersion']} {host['cgroupManager']}",
        rootless=host["security"]["rootless"],
        apparmor=host["security"].get("apparmorEnabled", False),
        cpus=host.get("cpus", 0),
        memory_total_bytes=host.get("memTotal", 0),
        memory_free_bytes=host["memFree"],
        disk_free_bytes=max(0, store["graphRootAllocated"] - store["graphRootUsed"]),
        graph_root=store.get("graphRoot") or "",
    )


def read_container(found: Mapping[str, Any]) -> ContainerFacts:
    """Read ``/containers/{id}/json?size=true``; what needs other questions is left empty.

    A network stands there with its name and the container's addresses only.
    """
    host, mounts = found["HostConfig"], found.get("Mounts") or ()
    # The one that it joined owns these; they are not this container's.
    joined = host["NetworkMode"].startswith(("container:", "ns:"))
    return ContainerFacts(
        container_id=found["Id"],
        name=found["Name"],
        image=found["ImageName"],
        image_id=bare_id(found["Image"]),
        state=container_state(found["State"]["Status"]),
        auto_remove=host["AutoRemove"],
        dependencies=tuple(found.get("Dependencies") or ()),
        pod=found.get("Pod") or "",
        systemd=bool(found["Config"].get("SystemdMode")),
        oci_runtime=found["OCIRuntime"],
        apparmor_profile=found.get("AppArmorProfile") or "",
        user_namespace=host.get("UsernsMode") or "",
        network_mode=host["NetworkMode"],
        volumes=tuple(m["Name"] for m in mounts if m["Type"] == "volume"),
        binds=tuple(
            BindFacts(source=m["Source"], target=m["Destination"])
            for m in mounts
            if m["Type"] == "bind" and not _is_overlay(m)
        ),
        overlays=tuple(sorted({m["Destination"] for m in mounts if _is_overlay(m)})),
        devices=tuple(device["PathOnHost"] for device in host.get("Devices") or ()),
        secrets=tuple(secret["Name"] for secret in found["Config"].get("Secrets") or ()),
        ports=tuple(_bindings(host.get("PortBindings") or {})),
        networks=() if joined else tuple(_attachments(found["NetworkSettings"])),
        layer_bytes=found.get("SizeRw") or 0,
    )


def read_network(found: Mapping[str, Any]) -> NetworkFacts:
    """Read ``/networks/{name}/json``."""
    return NetworkFacts(
        name=found["name"],
        driver=found["driver"],
        internal=found["internal"],
        dns=found["dns_enabled"],
        subnets=tuple(subnet["subnet"] for subnet in found.get("subnets") or ()),
        options=found.get("options") or {},
        taken=dict(_taken(found.get("containers") or {})),
    )


def read_ports(containers: Sequence[Mapping[str, Any]]) -> Iterator[PublishedPort]:
    """Read the published ports of running containers out of ``/containers/json``."""
    for container in containers:
        if container["State"] != "running":
            continue
        for port in container.get("Ports") or ():
            for offset in range(port["range"]):
                yield PublishedPort(
                    port=port["host_port"] + offset,
                    protocol=port["protocol"],
                    address=address(port["host_ip"]),
                    owner=container["Names"][0],
                )


def address(text: str) -> str:
    """An address of the host, empty for all of them."""
    return "" if text in EVERY_ADDRESS else text


def _is_overlay(mount: Mapping[str, Any]) -> bool:
    """Podman shows ``-v PATH:/x:O`` as a bind mount of an overlay of its own."""
    options = mount.get("Options") or ()
    return mount["Type"] == "image" or any(o.startswith("lowerdir=") for o in options)


def _bindings(
    bindings: Mapping[str, Sequence[Mapping[str, str]] | None],
) -> Iterator[PublishedPort]:
    for key, targets in bindings.items():
        for target in targets or ():
            yield PublishedPort(
                port=int(target["HostPort"]),
                protocol=key.partition("/")[2] or "tcp",
                address=address(target.get("HostIp") or ""),
            )


def _attachments(settings: Mapping[str, Any]) -> Iterator[Attachment]:
    for name, network in (settings.get("Networks") or {}).items():
        if name not in {"host", "none"}:
            both = (network.get("IPAddress"), network.get("GlobalIPv6Address"))
            addresses = tuple(address for address in both if address)
            yield Attachment(network=NetworkFacts(name=name), addresses=addresses)


def _taken(containers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for container in containers.values():
        for interface in (container.get("interfaces") or {}).values():
            for subnet in interface.get("subnets") or ():
                yield subnet["ipnet"].partition("/")[0], container["name"]
