"""RunSpec -> the body of the engine's create call. Pure; ``inspecting`` is the way back."""

from __future__ import annotations

from typing import Any

from runtime.errors import UnsupportedOptionError
from runtime.inspecting import image_reference
from runtime.specs import Mount, NetworkAttachment, Port, RunSpec

NETWORK_MODES = frozenset({"host", "none"})  # network names that stand for a mode


def create_body(spec: RunSpec) -> dict[str, Any]:
    """Build the JSON of ``POST /containers/create`` (Docker Engine API 1.41).

    Only the first network is in it: older engines take no more, see ``further_networks``.
    """
    body: dict[str, Any] = {
        "Image": image_reference(spec.image),
        "Cmd": list(spec.command) or None,
        "Entrypoint": None if spec.entrypoint is None else list(spec.entrypoint),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": spec.labels,
        "Hostname": spec.hostname,
        "User": spec.user,
        "WorkingDir": spec.workdir,
        "StopSignal": spec.stop_signal or None,
        "StopTimeout": spec.stop_timeout_seconds,
        "Tty": spec.tty,
        "ExposedPorts": {_port_key(port): {} for port in spec.ports},
        "HostConfig": _host_config(spec),
    }
    if spec.networks and spec.networks[0].name not in NETWORK_MODES:
        first = spec.networks[0]
        body["NetworkingConfig"] = {
            "EndpointsConfig": {first.name: {"Aliases": list(first.aliases)}}
        }
    return {key: value for key, value in body.items() if value is not None}


def require_supported(spec: RunSpec) -> None:
    """Raise UnsupportedOptionError for what would otherwise be dropped without a word."""
    for mount in spec.mounts:
        if mount.options and mount.type != "tmpfs":
            raise UnsupportedOptionError("mount.options", f"only a tmpfs has any, not {mount.type}")
        if mount.read_only and mount.type == "tmpfs":
            raise UnsupportedOptionError(
                "mount.read_only", "a tmpfs that is read-only holds nothing"
            )
    modes = [network for network in spec.networks if network.name in NETWORK_MODES]
    if modes and (len(spec.networks) > 1 or modes[0].aliases):
        reason = f"{modes[0].name!r} takes no aliases and no other network beside it"
        raise UnsupportedOptionError("networks", reason)


def further_networks(spec: RunSpec) -> tuple[NetworkAttachment, ...]:
    """Return the networks that the container joins after it was created."""
    return spec.networks[1:]


def _host_config(spec: RunSpec) -> dict[str, Any]:
    config: dict[str, Any] = {
        **spec.host_config,
        "Mounts": [_mount(mount) for mount in spec.mounts if mount.type != "tmpfs"],
        "Tmpfs": {mount.target: mount.options for mount in spec.mounts if mount.type == "tmpfs"},
        "PortBindings": _port_bindings(spec.ports),
        "RestartPolicy": {
            "Name": spec.restart.name,
            "MaximumRetryCount": spec.restart.max_retries,
        },
    }
    if spec.networks:
        config["NetworkMode"] = spec.networks[0].name
    return config


def _mount(mount: Mount) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Type": mount.type,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    if mount.source:
        entry["Source"] = mount.source
    return entry


def _port_key(port: Port) -> str:
    return f"{port.container_port}/{port.protocol}"


def _port_bindings(ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        bindings.setdefault(_port_key(port), []).append(binding)
    return bindings
