"""A container's configuration in a checkpoint export -> the RunSpec for a cold start. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any

from runtime.carrying import DEFAULT_NETWORKS
from runtime.object_specs import NetworkSpec, Subnet
from runtime.records import Spec
from runtime.run_spec import RunSpec

# The archive holds what the engine made of these, not what was asked for, or nothing at all.
UNKNOWN = (
    *("capabilities", "security options", "devices", "ulimits", "namespaces", "logging"),
    *("sysctls", "options of networks", "options of volumes"),
)
_PROPAGATION = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_INIT, _PRIVATE = "io.podman.annotations.init", "rprivate"
_TMPFS_BY_ITSELF = frozenset({"rw", _PRIVATE, "nosuid", "nodev", "tmpcopyup"})


class ExportedContainer(Spec):
    """The container in an export. ``unknown`` says what its spec lacks, for people to read."""

    id: str
    image_id: str
    spec: RunSpec
    networks: tuple[NetworkSpec, ...] = ()
    unknown: tuple[str, ...] = UNKNOWN


def exported_container(config: Mapping[str, Any], networks: Mapping[str, Any]) -> ExportedContainer:
    """Read ``config.dump`` and ``network.status``.

    Raises KeyError, TypeError, AttributeError or ValueError when they are something else.
    """
    names = set(config.get("newNetworks") or ()) - DEFAULT_NETWORKS
    return ExportedContainer(
        id=config["id"],
        image_id=config["rootfsImageID"],
        spec=RunSpec.from_inspect(_as_inspected(config)),
        networks=tuple(_network(n, s) for n, s in sorted(networks.items()) if n in names),
    )


def _as_inspected(config: Mapping[str, Any]) -> dict[str, Any]:
    """Put it as the engine's inspect would, which is what a spec is read from."""
    spec: Mapping[str, Any] = config["spec"]
    process: Mapping[str, Any] = spec["process"]
    annotations: Mapping[str, str] = spec.get("annotations") or {}
    return {
        "Id": config["id"],
        "Name": config["name"],
        "Config": {
            "Image": config["rootfsImageName"],
            "Cmd": config.get("command"),
            "Entrypoint": config.get("entrypoint"),
            "Env": process.get("env"),
            "Labels": config.get("labels"),
            "User": config.get("user"),
            "WorkingDir": process.get("cwd"),
            "Hostname": spec.get("hostname"),
            "Domainname": spec.get("domainname"),
            "Healthcheck": config.get("healthcheck"),
            "StopSignal": str(config.get("stopSignal") or ""),
            "StopTimeout": config.get("stopTimeout"),
            "Tty": bool(process.get("terminal")),
            "OpenStdin": bool(config.get("stdin")),
        },
        "HostConfig": {
            "Annotations": annotations,
            "ExtraHosts": config.get("hostsAdd"),
            "PortBindings": _ports(config),
            "Dns": config.get("dnsServer"),
            "DnsSearch": config.get("dnsSearch"),
            "DnsOptions": config.get("dnsOption"),
            "RestartPolicy": {
                "Name": config.get("restart_policy"),
                "MaximumRetryCount": config.get("restart_retries"),
            },
            "NetworkMode": config.get("networkMode"),
            "Privileged": bool(config.get("privileged")),
            "ReadonlyRootfs": bool((spec.get("root") or {}).get("readonly")),
            "Init": annotations.get(_INIT) == "TRUE",
            "Tmpfs": _tmpfs(config),
            "OomScoreAdj": process.get("oomScoreAdj"),
            "ShmSize": config.get("shmSize"),
            **_limits((spec.get("linux") or {}).get("resources") or {}),
        },
        "Mounts": _mounts(config),
        "NetworkSettings": {"Networks": _attachments(config)},
    }


def _limits(resources: Mapping[str, Any]) -> dict[str, Any]:
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    return {
        "Memory": memory.get("limit"),
        "MemorySwap": memory.get("swap"),
        "MemoryReservation": memory.get("reservation"),
        "CpuShares": cpu.get("shares"),
        "CpuPeriod": cpu.get("period"),
        "CpuQuota": cpu.get("quota"),
        "CpusetCpus": cpu.get("cpus"),
        "CpusetMems": cpu.get("mems"),
        "PidsLimit": (resources.get("pids") or {}).get("limit"),
    }


def _ports(config: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Spell ranges out; a mapping may name several protocols."""
    found: dict[str, list[dict[str, str]]] = {}
    for mapping in config.get("newPortMappings") or ():
        for protocol in (mapping.get("protocol") or "tcp").split(","):
            for offset in range(mapping.get("range") or 1):
                key = f"{mapping['container_port'] + offset}/{protocol}"
                host = {
                    "HostIp": mapping.get("host_ip") or "",
                    "HostPort": str(mapping["host_port"] + offset),
                }
                found.setdefault(key, []).append(host)
    return found


def _mounts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    volumes = [
        _mount("volume", v["volumeName"], v["dest"], v.get("options") or ())
        for v in config.get("namedVolumes") or ()
    ]
    binds = [
        _mount("bind", m["source"], m["destination"], m.get("options") or ())
        for m in _user_mounts(config, "bind")
    ]
    return volumes + binds


def _mount(kind: str, source: str, target: str, options: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "Type": kind,
        "Name": source,
        "Source": source,
        "Destination": target,
        "RW": "ro" not in options,
        "Propagation": next((o for o in options if o in _PROPAGATION), ""),
        "Options": [o for o in options if o not in {*_PROPAGATION, "ro", "rw"}],
    }


def _tmpfs(config: Mapping[str, Any]) -> dict[str, str]:
    return {
        m["destination"]: ",".join(o for o in m.get("options") or () if o not in _TMPFS_BY_ITSELF)
        for m in _user_mounts(config, "tmpfs")
    }


def _user_mounts(config: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The mounts that were asked for; the engine's own are not among the ``userVolumes``."""
    asked = set(config.get("userVolumes") or ())
    mounts = config["spec"].get("mounts") or ()
    return [m for m in mounts if m["type"] == kind and m["destination"] in asked]


def _attachments(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, options in (config.get("newNetworks") or {}).items():
        addresses = [ip_interface(address) for address in options.get("static_ips") or ()]
        fixed = {f"IPv{a.version}Address": str(a.ip) for a in addresses}
        found[name] = {"Aliases": options.get("aliases"), "IPAMConfig": fixed}
    return found


def _network(name: str, status: Mapping[str, Any]) -> NetworkSpec:
    """A network of this name with the subnets that the container had addresses in."""
    found: dict[str, Subnet] = {}
    for interface in (status.get("interfaces") or {}).values():
        for subnet in interface.get("subnets") or ():
            of = str(ip_interface(subnet["ipnet"]).network)
            found[of] = Subnet(subnet=of, gateway=subnet.get("gateway") or "")
    return NetworkSpec(
        name=name, subnets=tuple(found.values()), ipv6=any(":" in subnet for subnet in found)
    )
