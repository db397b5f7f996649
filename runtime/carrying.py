"""What of a container's configuration is its own and travels, and what the engine put there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORT_ID_DIGITS = 12

# HostConfig entries that a cold start needs, each with the values that mean "not set".
_HOST_CONFIG: Mapping[str, tuple[object, ...]] = {
    "CapAdd": (None, []),
    "CapDrop": (None, []),
    "CpuPeriod": (None, 0),
    "CpuQuota": (None, 0),
    "CpuShares": (None, 0),
    "CpusetCpus": (None, ""),
    "CpusetMems": (None, ""),
    "Devices": (None, []),
    "Dns": (None, []),
    "DnsOptions": (None, []),
    "DnsSearch": (None, []),
    "ExtraHosts": (None, []),
    "GroupAdd": (None, []),
    "Init": (None, False),
    "IpcMode": (None, "", "private", "shareable"),
    "Memory": (None, 0),
    "MemoryReservation": (None, 0),
    "MemorySwap": (None, 0),
    "NanoCpus": (None, 0),
    "OomScoreAdj": (None, 0),
    "PidMode": (None, "", "private"),
    "PidsLimit": (None, 0, 2048),  # 2048 is Podman's default
    "Privileged": (None, False),
    "ReadonlyRootfs": (None, False),
    "SecurityOpt": (None, []),
    "ShmSize": (None, 0, 65536000, 67108864),  # the defaults of Podman and of Docker
    "Sysctls": (None, {}),
    "UsernsMode": (None, ""),
    "UTSMode": (None, "", "private"),
}


def carried_host_config(host: Mapping[str, Any]) -> dict[str, Any]:
    """Select the HostConfig entries that were set.

    Limits on open files and processes are left out: an engine reports its defaults among them,
    and another host may not be allowed to grant these.
    """
    carried = {
        key: host[key]
        for key, unset in _HOST_CONFIG.items()
        if key in host and host[key] not in unset
    }
    if "NanoCpus" in carried:  # Podman shows what it made of it too, and refuses both
        carried.pop("CpuPeriod", None)
        carried.pop("CpuQuota", None)
    return carried


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
    of_host = container["HostConfig"].get("NetworkMode") == "host"
    return "" if of_host or hostname == container["Id"][:SHORT_ID_DIGITS] else hostname
