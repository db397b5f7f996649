"""Libpod's JSON about pods <-> our records. Pure; shapes are those of Podman 5.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runtime.carrying import SHORT_ID_DIGITS
from runtime.deriving import port_bindings, restart_policy
from runtime.pod_specs import PodInfo, PodSpec
from runtime.run_parts import Dns, NetworkAttachment, Port

DEFAULT_SHM_BYTES = 65536000
DEFAULT_CGROUPS = frozenset({"", "/libpod_parent", "machine.slice"})
PAUSE_IMAGE = "localhost/podman-pause:"  # what Podman makes for infra containers
RESTORABLE = frozenset({"ipc", "net", "uts"})  # namespaces that containers may share
# Of a pod's description: what a spec says too, and what the engine made up.
SAID = frozenset(
    {
        *("Id", "Name", "Namespace", "Created", "CreateCommand", "State", "Labels", "Hostname"),
        *("ExitPolicy", "RestartPolicy", "CreateCgroup", "CgroupParent", "CgroupPath"),
        *("CreateInfra", "InfraContainerID", "InfraConfig", "SharedNamespaces"),
        *("NumContainers", "Containers", "LockNumber"),
    }
)
SAID_OF_INFRA = frozenset(
    {"PortBindings", "DNSServer", "DNSSearch", "DNSOption", "HostAdd", "Networks"}
)
OWN_NAMESPACES = {"pid_ns": "private", "userns": "host", "uts_ns": "private"}


def pod_info(pod: Mapping[str, Any], infra: Mapping[str, Any] | None) -> PodInfo:
    """Read ``/pods/{name}/json``, and its infra container's description if it has one."""
    infra_id = infra["Id"] if infra else ""
    return PodInfo(
        id=pod["Id"],
        spec=_spec(pod, infra),
        infra=infra_id,
        members=tuple(
            entry["Name"] for entry in pod.get("Containers") or () if entry["Id"] != infra_id
        ),
        unsupported=tuple(dict.fromkeys(_unsupported(pod, infra))),
    )


def pod_body(spec: PodSpec) -> dict[str, Any]:
    """Build the JSON of libpod's ``POST /pods/create``."""
    body: dict[str, Any] = {
        "name": spec.name,
        "labels": spec.labels,
        "shared_namespaces": list(spec.share),
        "hostname": spec.hostname,
        "infra_name": spec.infra_name,
        "exit_policy": spec.exit_policy,
        "restart_policy": spec.restart.name if spec.restart.name != "no" else "",
        "restart_tries": spec.restart.max_retries or None,
        "portmappings": [_port(port) for port in spec.ports],
        "Networks": {network.name: _network(network) for network in spec.networks},
        "netns": {"nsmode": "bridge"} if spec.networks else None,
        "dns_server": list(spec.dns.servers),
        "dns_search": list(spec.dns.search),
        "dns_option": list(spec.dns.options),
        "hostadd": [f"{host}:{address}" for host, address in spec.extra_hosts.items()],
        "shm_size": spec.shm_bytes or None,
    }
    # an empty list of namespaces would mean the default ones
    return {key: value for key, value in body.items() if value} | (
        {} if spec.share else {"shared_namespaces": ["none"]}
    )


def _spec(pod: Mapping[str, Any], infra: Mapping[str, Any] | None) -> PodSpec:
    config = pod.get("InfraConfig") or {}
    host = infra["HostConfig"] if infra else {}
    share = tuple(sorted(pod.get("SharedNamespaces") or ()))
    has_network = "net" in share
    shm_bytes = host.get("ShmSize") or 0
    own_name = infra["Name"] if infra else ""
    return PodSpec(
        name=pod["Name"],
        labels=pod.get("Labels") or {},
        share=share,
        hostname=pod.get("Hostname") or "",
        infra_name="" if own_name == f"{pod['Id'][:SHORT_ID_DIGITS]}-infra" else own_name,
        exit_policy=pod.get("ExitPolicy") or "continue",
        restart=restart_policy(host.get("RestartPolicy") or {}),
        ports=port_bindings(config.get("PortBindings") or {}) if has_network else (),
        networks=tuple(_networks(infra)) if infra and has_network else (),
        dns=Dns(
            servers=tuple(config.get("DNSServer") or ()),
            search=tuple(config.get("DNSSearch") or ()),
            options=tuple(config.get("DNSOption") or ()),
        ),
        extra_hosts=dict(entry.split(":", 1) for entry in config.get("HostAdd") or ()),
        shm_bytes=0 if shm_bytes == DEFAULT_SHM_BYTES else shm_bytes,
    )


def _networks(infra: Mapping[str, Any]) -> Iterator[NetworkAttachment]:
    made_up = {infra["Id"][:SHORT_ID_DIGITS], infra["Config"].get("Hostname")}
    found: Mapping[str, Any] = infra["NetworkSettings"].get("Networks") or {}
    for name, network in sorted(found.items()):
        if name not in {"host", "none"}:
            yield NetworkAttachment(
                name=name,
                aliases=tuple(a for a in network.get("Aliases") or () if a not in made_up),
                ipv4=network.get("IPAddress") or "",
                ipv6=network.get("GlobalIPv6Address") or "",
                mac=network.get("MacAddress") or "",
            )


def _unsupported(pod: Mapping[str, Any], infra: Mapping[str, Any] | None) -> Iterator[str]:
    """Everything that is set and not said by a spec, under the engine's name for it."""
    yield from (key for key, value in pod.items() if value and key not in SAID)
    for key, value in (pod.get("InfraConfig") or {}).items():
        if value and key not in SAID_OF_INFRA and OWN_NAMESPACES.get(key, "") != value:
            yield key
    yield from (f"shared {n}" for n in pod.get("SharedNamespaces") or () if n not in RESTORABLE)
    if not pod.get("CreateCgroup", True):
        yield "share-parent=false"
    if pod.get("CgroupParent", "") not in DEFAULT_CGROUPS:
        yield "cgroup-parent"
    # Nothing else shows these; they hold for a namespace that is not among what CRIU restores.
    if any(word.startswith("--sysctl") for word in pod.get("CreateCommand") or ()):
        yield "sysctl"
    if infra and not (infra["Config"].get("Image") or PAUSE_IMAGE).startswith(PAUSE_IMAGE):
        yield "infra-image"


def _port(port: Port) -> dict[str, Any]:
    said = port.model_dump()
    return {key: value for key, value in said.items() if value}


def _network(network: NetworkAttachment) -> dict[str, Any]:
    body = {
        "static_ips": [address for address in (network.ipv4, network.ipv6) if address],
        "static_mac": network.mac,
        "aliases": list(network.aliases),
    }
    return {key: value for key, value in body.items() if value}
