"""The limits, rights and namespaces in an inspect answer's HostConfig.

An engine fills in its defaults. ``fresh`` is the HostConfig of a container that was made without
any options on the same engine: what equals it was not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.run_parts import Device, Limits, Logging, Namespaces, Security, Ulimit

# Fields of Limits -> HostConfig entries of the same meaning.
LIMITS = {
    "memory_bytes": "Memory",
    "memory_swap_bytes": "MemorySwap",
    "memory_reservation_bytes": "MemoryReservation",
    "cpu_shares": "CpuShares",
    "cpu_period_microseconds": "CpuPeriod",
    "cpu_quota_microseconds": "CpuQuota",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "shm_bytes": "ShmSize",
    "oom_score_adj": "OomScoreAdj",
}
# Fields of Namespaces -> HostConfig entries, and the shipped default of Podman (and of Docker).
NAMESPACES = {
    "ipc": ("IpcMode", ("", "shareable")),
    "pid": ("PidMode", ("", "private")),
    "uts": ("UTSMode", ("", "private")),
    "user": ("UsernsMode", ("",)),
}
SHIPPED_PIDS = 2048  # Podman's
SHIPPED_SHM_BYTES = (65536000, 67108864)  # Podman's and Docker's
SHIPPED_LOGGING = ("", "json-file", "journald", "k8s-file")
PRIVILEGED_OPTION = "unmask=all"  # what Podman adds to a privileged container


def limits(host: Mapping[str, Any], fresh: Mapping[str, Any] | None) -> Limits:
    """Read the limits that differ from the engine's own."""
    stock = _stock(fresh)
    found: dict[str, Any] = {
        field: value
        for field, key in LIMITS.items()
        if (value := host.get(key)) and value not in stock.get(key, ())
    }
    if host.get("NanoCpus"):  # Podman shows what it made of it too, and refuses both
        found["cpus"] = host["NanoCpus"] / 1e9
        found.pop("cpu_period_microseconds", None)
        found.pop("cpu_quota_microseconds", None)
    pids = host.get("PidsLimit")
    if pids is not None and pids not in stock["PidsLimit"]:
        found["pids"] = max(pids, 0)
    return Limits(**found, ulimits=_ulimits(host, fresh))


def security(host: Mapping[str, Any]) -> Security:
    """Read what the container may do."""
    privileged = bool(host.get("Privileged"))
    options = host.get("SecurityOpt") or ()
    return Security(
        privileged=privileged,
        read_only_rootfs=bool(host.get("ReadonlyRootfs")),
        cap_add=_capabilities(host, "CapAdd"),
        cap_drop=_capabilities(host, "CapDrop"),
        options=tuple(o for o in options if not (privileged and o == PRIVILEGED_OPTION)),
        groups=tuple(host.get("GroupAdd") or ()),
    )


def namespaces(host: Mapping[str, Any], fresh: Mapping[str, Any] | None) -> Namespaces:
    """Read the namespaces that are not the engine's usual ones."""
    return Namespaces(
        **{
            field: value
            for field, (key, shipped) in NAMESPACES.items()
            if (value := host.get(key) or "") not in ((fresh[key],) if fresh else shipped)
        }
    )


def devices(host: Mapping[str, Any], permissions: Mapping[str, str]) -> tuple[Device, ...]:
    """Read the devices; Podman does not tell their permissions."""
    return tuple(
        Device(
            source=device["PathOnHost"],
            target=""
            if device["PathInContainer"] == device["PathOnHost"]
            else device["PathInContainer"],
            permissions=device.get("CgroupPermissions")
            or permissions.get(device["PathOnHost"], "rwm"),
        )
        for device in host.get("Devices") or ()
    )


def logging(host: Mapping[str, Any], fresh: Mapping[str, Any] | None) -> Logging:
    """Read where the output goes, if it was asked for."""
    config = host.get("LogConfig") or {}
    options = dict(config.get("Config") or {})
    if config.get("Tag"):
        options["tag"] = config["Tag"]
    if config.get("Size", "0B") not in ("", "0B"):
        options["max-size"] = config["Size"]
    driver = config.get("Type") or ""
    usual = (fresh["LogConfig"]["Type"],) if fresh else SHIPPED_LOGGING
    return Logging(driver="" if driver in usual and not options else driver, options=options)


def _stock(fresh: Mapping[str, Any] | None) -> dict[str, tuple[Any, ...]]:
    if fresh is None:
        return {"PidsLimit": (SHIPPED_PIDS,), "ShmSize": SHIPPED_SHM_BYTES}
    return {key: (fresh.get(key),) for key in (*LIMITS.values(), "PidsLimit")}


def _ulimits(host: Mapping[str, Any], fresh: Mapping[str, Any] | None) -> tuple[Ulimit, ...]:
    """Without ``fresh`` none: an engine's defaults are among them, and differ between hosts."""
    if fresh is None:
        return ()
    usual = [_ulimit(entry) for entry in fresh.get("Ulimits") or ()]
    found = [_ulimit(entry) for entry in host.get("Ulimits") or ()]
    return tuple(ulimit for ulimit in found if ulimit not in usual)


def _ulimit(entry: Mapping[str, Any]) -> Ulimit:
    name = entry["Name"].removeprefix("RLIMIT_").lower()
    return Ulimit(name=name, soft=entry["Soft"], hard=entry["Hard"])


def _capabilities(host: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = (name.upper() for name in host.get(key) or ())
    return tuple(n if n == "ALL" or n.startswith("CAP_") else f"CAP_{n}" for n in names)
