"""RunSpec -> the body of the engine's create call. Pure; ``deriving`` is the way back."""

from __future__ import annotations

from typing import Any

from runtime.creating_host import host_config
from runtime.errors import UnsupportedOptionError
from runtime.health_forms import to_engine
from runtime.inspecting import image_reference
from runtime.run_parts import Mount, NetworkAttachment
from runtime.specs import RunSpec


def create_body(spec: RunSpec) -> dict[str, Any]:
    """Build the JSON of ``POST /containers/create`` (Docker Engine API 1.41).

    Only the first network is in it: older engines take no more, see ``further_networks``.
    """
    body: dict[str, Any] = {
        "Image": image_reference(spec.image),
        "Cmd": list(spec.command) or None,
        # Podman takes an empty list for "the image's own", and one empty word for none.
        "Entrypoint": None if spec.entrypoint is None else list(spec.entrypoint) or [""],
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": spec.labels,
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "User": spec.user,
        "WorkingDir": spec.workdir,
        "StopSignal": spec.stop_signal or None,
        "StopTimeout": spec.stop_timeout_seconds,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "Healthcheck": None if spec.health is None else to_engine(spec.health),
        "ExposedPorts": {f"{port.container_port}/{port.protocol}": {} for port in spec.ports},
        "HostConfig": host_config(spec),
    }
    if spec.networks and not spec.networks[0].is_mode:
        body["NetworkingConfig"] = endpoints(spec.networks[:1])
    return {key: value for key, value in body.items() if value is not None}


def endpoints(networks: tuple[NetworkAttachment, ...]) -> dict[str, Any]:
    """Build the NetworkingConfig that joins these networks."""
    return {"EndpointsConfig": {network.name: _endpoint(network) for network in networks}}


def further_networks(spec: RunSpec) -> tuple[NetworkAttachment, ...]:
    """Return the networks that the container joins after it was created."""
    return spec.networks[1:]


def require_supported(spec: RunSpec) -> None:
    """Raise UnsupportedOptionError for what no engine can do, and would drop without a word."""
    for mount in spec.mounts:
        _require_supported_mount(mount)
    modes = [network for network in spec.networks if network.is_mode]
    if modes and (len(spec.networks) > 1 or modes[0].aliases or modes[0].fixed):
        reason = f"{modes[0].name!r} takes no aliases, addresses or other network beside it"
        raise UnsupportedOptionError("networks", reason)


def _require_supported_mount(mount: Mount) -> None:
    if mount.type != "bind" and (mount.propagation or not mount.recursive):
        raise UnsupportedOptionError("mount.propagation", f"a {mount.type} has none, only a bind")
    if mount.type != "volume" and mount.no_copy:
        raise UnsupportedOptionError("mount.no_copy", f"a {mount.type} copies nothing")
    if mount.type == "tmpfs" and mount.read_only:
        raise UnsupportedOptionError("mount.read_only", "a tmpfs that is read-only holds nothing")
    if mount.options and not mount.recursive:
        reason = "they cannot be combined with a mount that is not recursive"
        raise UnsupportedOptionError("mount.options", reason)
    if mount.type == "volume" and not mount.source and (mount.options or mount.no_copy):
        raise UnsupportedOptionError("mount.options", "an anonymous volume takes none; name it")


def _endpoint(network: NetworkAttachment) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"Aliases": list(network.aliases)}
    addresses = {"IPv4Address": network.ipv4, "IPv6Address": network.ipv6}
    if config := {key: value for key, value in addresses.items() if value}:
        endpoint["IPAMConfig"] = config
    if network.mac:
        endpoint["MacAddress"] = network.mac
    return endpoint
