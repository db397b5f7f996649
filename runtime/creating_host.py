"""The HostConfig of a create call: mounts, ports, limits and whatever the host grants."""

from __future__ import annotations

from typing import Any

from runtime.deriving_host import LIMITS, NAMESPACES
from runtime.errors import UnsupportedOptionError
from runtime.run_parts import Device, Limits, Mount, Port, Security
from runtime.specs import RunSpec

NANO_CPUS = 1e9


def host_config(spec: RunSpec) -> dict[str, Any]:
    """Build HostConfig; what was not asked for is left out."""
    config: dict[str, Any] = {
        "Binds": [_bind(mount) for mount in spec.mounts if _needs_bind(mount)],
        "Mounts": [_mount(m) for m in spec.mounts if m.type != "tmpfs" and not _needs_bind(m)],
        "Tmpfs": {mount.target: mount.options for mount in spec.mounts if mount.type == "tmpfs"},
        "PortBindings": _port_bindings(spec.ports),
        "RestartPolicy": {
            "Name": spec.restart.name,
            "MaximumRetryCount": spec.restart.max_retries,
        },
        "AutoRemove": spec.auto_remove,
        "Init": spec.init,
        "Dns": list(spec.dns.servers),
        "DnsSearch": list(spec.dns.search),
        "DnsOptions": list(spec.dns.options),
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts.items()],
        "Sysctls": spec.sysctls,
        "Devices": [_device(device) for device in spec.devices],
        **_rights(spec.security),
        **{key: getattr(spec.namespaces, field) for field, (key, _) in NAMESPACES.items()},
    }
    if spec.networks:
        config["NetworkMode"] = spec.networks[0].name
    if spec.logging.driver or spec.logging.options:
        config["LogConfig"] = {"Type": spec.logging.driver, "Config": spec.logging.options}
    return {key: value for key, value in config.items() if value} | _limits(spec.limits)


def _rights(security: Security) -> dict[str, Any]:
    return {
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_rootfs,
        "CapAdd": list(security.cap_add),
        "CapDrop": list(security.cap_drop),
        "SecurityOpt": list(security.options),
        "GroupAdd": list(security.groups),
    }


def _device(device: Device) -> dict[str, str]:
    return {
        "PathOnHost": device.source,
        "PathInContainer": device.target or device.source,
        "CgroupPermissions": device.permissions,
    }


def _limits(limits: Limits) -> dict[str, Any]:
    config = {key: value for field, key in LIMITS.items() if (value := getattr(limits, field))}
    if limits.cpus:
        config["NanoCpus"] = round(limits.cpus * NANO_CPUS)
    if limits.pids is not None:
        config["PidsLimit"] = limits.pids
    if limits.ulimits:
        config["Ulimits"] = [
            {"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in limits.ulimits
        ]
    return config


def _needs_bind(mount: Mount) -> bool:
    """Tell what only the short spelling can say: Podman drops it from the long one."""
    short = mount.options or mount.no_copy or (mount.propagation and mount.recursive)
    return mount.type != "tmpfs" and bool(short)


def _bind(mount: Mount) -> str:
    if ":" in mount.source + mount.target:
        raise UnsupportedOptionError("mount.options", f"none at a path with a colon: {mount}")
    words = ["ro" if mount.read_only else "rw", mount.propagation, mount.options]
    if mount.no_copy:
        words.append("nocopy")
    return f"{mount.source}:{mount.target}:{','.join(filter(None, words))}"


def _mount(mount: Mount) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Type": mount.type,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    if mount.source:
        entry["Source"] = mount.source
    if not mount.recursive:
        entry["BindOptions"] = {"NonRecursive": True, "Propagation": mount.propagation}
    return entry


def _port_bindings(ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        key = f"{port.container_port}/{port.protocol}"
        host_port = str(port.host_port) if port.host_port else ""
        bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": host_port})
    return bindings
