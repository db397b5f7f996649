"""The engine's JSON answers -> our records. Pure; ``creating`` is the way back.

Shapes are those of the Docker Engine API as Podman 5.4's compatible socket fills them in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.carrying import (
    SHORT_ID_DIGITS,
    carried_env,
    carried_host_config,
    carried_hostname,
)
from runtime.specs import (
    ContainerInfo,
    ContainerState,
    ContainerSummary,
    HealthCheck,
    ImageInfo,
    Mount,
    NetworkAttachment,
    Port,
    RestartPolicy,
    RunSpec,
)

DEFAULT_NETWORKS = frozenset({"podman", "bridge"})  # Podman's and Docker's own names
LOCAL_REGISTRY = "localhost/"  # what Podman puts before the name of an image built here
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what an engine reports for "all"
NANOSECONDS = 1e9
_BARE_ID = re.compile(r"^[0-9a-f]{64}$")

_STATES = {
    "created": ContainerState.CREATED,
    "configured": ContainerState.CREATED,  # libpod's word for it
    "initialized": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "paused": ContainerState.PAUSED,
    "exited": ContainerState.EXITED,
    "stopped": ContainerState.EXITED,
}


def container_info(container: Mapping[str, Any]) -> ContainerInfo:
    """Read ``GET /containers/{id}/json``."""
    state, config = container["State"], container["Config"]
    return ContainerInfo(
        id=container["Id"],
        name=container["Name"].removeprefix("/"),
        image=config["Image"],
        image_id=bare_id(container["Image"]),
        state=container_state(state["Status"]),
        pid=state.get("Pid", 0) if state["Running"] else 0,  # Podman keeps a checkpointed one's
        exit_code=state.get("ExitCode", 0),
        auto_remove=container["HostConfig"].get("AutoRemove", False),
        health=health_check(config.get("Healthcheck")),
        spec=run_spec(container),
    )


def run_spec(container: Mapping[str, Any]) -> RunSpec:
    """Read what a container was made from out of ``GET /containers/{id}/json``."""
    config, host = container["Config"], container["HostConfig"]
    restart = host.get("RestartPolicy") or {}
    return RunSpec(
        name=container["Name"].removeprefix("/"),
        image=config["Image"],
        command=tuple(config.get("Cmd") or ()),
        entrypoint=tuple(config["Entrypoint"]) if config.get("Entrypoint") else None,
        env=carried_env(config),
        labels=config.get("Labels") or {},
        mounts=_mounts(container),
        ports=_ports(host.get("PortBindings") or {}),
        networks=_networks(container),
        restart=RestartPolicy(
            name=restart.get("Name") or "no",
            max_retries=restart.get("MaximumRetryCount") or 0,
        ),
        hostname=carried_hostname(container),
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        stop_signal=config.get("StopSignal") or "",
        stop_timeout_seconds=config.get("StopTimeout"),
        tty=config.get("Tty", False),
        host_config=carried_host_config(host),
    )


def container_summary(entry: Mapping[str, Any]) -> ContainerSummary:
    """Read one entry of ``GET /containers/json``."""
    return ContainerSummary(
        id=entry["Id"],
        name=entry["Names"][0].removeprefix("/"),
        image=entry["Image"],
        state=container_state(entry["State"]),
        labels=entry.get("Labels") or {},
    )


def container_state(status: str) -> ContainerState:
    """Map an engine's word for a state to ours."""
    return _STATES.get(status, ContainerState.OTHER)


def health_check(config: Mapping[str, Any] | None) -> HealthCheck | None:
    """Read ``Config.Healthcheck``; its times are nanoseconds, 0 or absent means the default."""
    kind, *rest = (config or {}).get("Test") or ["NONE"]
    if config is None or kind == "NONE":
        return None
    command = ("/bin/sh", "-c", *rest) if kind == "CMD-SHELL" else tuple(rest)
    times = {
        "interval_seconds": config.get("Interval"),
        "timeout_seconds": config.get("Timeout"),
        "start_period_seconds": config.get("StartPeriod"),
    }
    seconds = {name: value / NANOSECONDS for name, value in times.items() if value}
    return HealthCheck(command=command, retries=config.get("Retries") or 3, **seconds)


def image_info(image: Mapping[str, Any]) -> ImageInfo:
    """Read ``GET /images/{name}/json``, or one entry of ``GET /images/json``."""
    digests: Sequence[str] = image.get("RepoDigests") or ()
    return ImageInfo(
        id=bare_id(image["Id"]),
        names=tuple(name for name in image.get("RepoTags") or () if name != "<none>:<none>"),
        size_bytes=image["Size"],
        from_registry=any(not digest.startswith(LOCAL_REGISTRY) for digest in digests),
    )


def label_filter(labels: Mapping[str, str]) -> list[str]:
    """Spell a label filter; an empty one would match everything and raises ValueError."""
    if not labels:
        raise ValueError("an empty label filter would match everything")
    return [f"{name}={value}" for name, value in labels.items()]


def bare_id(identifier: str) -> str:
    """Return an image id without its "sha256:"."""
    return identifier.removeprefix("sha256:")


def image_reference(name: str) -> str:
    """Spell an image for a request: Podman takes a bare id that it does not know for a bad name."""
    return f"sha256:{name}" if _BARE_ID.match(name) else name


def _mounts(container: Mapping[str, Any]) -> tuple[Mount, ...]:
    """Return the mounts by target: Podman lists them in another order after each restore."""
    mounts = [
        Mount(
            type=mount["Type"],
            source=mount["Name"] if mount["Type"] == "volume" else mount["Source"],
            target=mount["Destination"],
            read_only=not mount["RW"],
        )
        for mount in container.get("Mounts") or ()
        if mount["Type"] in ("volume", "bind")
    ]
    tmpfs: Mapping[str, str] = container["HostConfig"].get("Tmpfs") or {}
    for target, options in tmpfs.items():
        mounts.append(Mount(type="tmpfs", target=target, options=options))
    return tuple(sorted(mounts, key=lambda mount: mount.target))


def _ports(bindings: Mapping[str, Sequence[Mapping[str, str]] | None]) -> tuple[Port, ...]:
    return tuple(
        _port(key, target) for key, targets in bindings.items() for target in targets or ()
    )


def _port(key: str, target: Mapping[str, str]) -> Port:
    number, _, protocol = key.partition("/")
    host_ip = target.get("HostIp") or ""
    return Port.model_validate(
        {
            "container_port": number,
            "host_port": target["HostPort"],
            "host_ip": "" if host_ip in EVERY_ADDRESS else host_ip,
            "protocol": protocol or "tcp",
        }
    )


def _networks(container: Mapping[str, Any]) -> tuple[NetworkAttachment, ...]:
    """Return the networks, none for the engine's default one.

    Podman makes aliases of the short id and of the host name by itself, the latter once more at
    each restore.
    """
    made_up = {container["Id"][:SHORT_ID_DIGITS], container["Config"].get("Hostname")}
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    if set(networks) <= DEFAULT_NETWORKS:
        return ()
    return tuple(
        NetworkAttachment(
            name=name,
            aliases=tuple(a for a in network.get("Aliases") or () if a not in made_up),
        )
        for name, network in sorted(networks.items())
    )
