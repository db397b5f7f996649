"""What of a container's configuration is its own and travels, and what the engine put there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

SHORT_ID_DIGITS = 12
DEFAULT_NETWORKS = frozenset({"podman", "bridge"})  # Podman's and Docker's own names


def carried_env(config: Mapping[str, Any]) -> dict[str, str]:
    """Select the variables that the engine did not make up.

    HOME travels: the engine's own value comes out the same for the same image and user.
    """
    env = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    made_up = {"container": "podman", "HOSTNAME": config.get("Hostname"), "HOME": ""}
    return {name: value for name, value in env.items() if made_up.get(name) != value}


def carried_hostname(container: Mapping[str, Any]) -> str:
    """Return the host name if it was asked for: neither the short id nor the host's own name."""
    hostname: str = container["Config"].get("Hostname") or ""
    host = container["HostConfig"]
    of_host = "host" in (host.get("NetworkMode"), host.get("UTSMode"))
    return "" if of_host or hostname == container["Id"][:SHORT_ID_DIGITS] else hostname


def own_networks(
    container: Mapping[str, Any], *, keep: Collection[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the networks by name, or the network mode in their place.

    None for the engine's default one, unless it is to be kept.
    """
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    mode: str = container["HostConfig"].get("NetworkMode") or ""
    if mode in ("host", "none") or mode.startswith(("container:", "ns:")):
        return [(mode, {})]
    if set(networks) <= DEFAULT_NETWORKS and not set(networks) & set(keep):
        return []
    return sorted(networks.items())
