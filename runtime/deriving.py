"""An inspect answer -> the RunSpec for a cold start. Pure; ``creating`` is the way back.

Shapes are Docker's, as Docker and Podman 5.4 fill them in, and libpod's, which are nearly the same.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.carrying import SHORT_ID_DIGITS, carried_env, carried_hostname, own_networks
from runtime.deriving_host import devices, limits, logging, namespaces, security
from runtime.deriving_mounts import mounts
from runtime.health_forms import from_engine
from runtime.run_parts import Dns, HealthCheck, NetworkAttachment, Port, RestartPolicy
from runtime.run_spec import RunSpec

EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what an engine reports for "all"
ASKED = "podferry.asked"  # annotation: what Podman was not told, and what its inspect does not show


def run_spec(container: Mapping[str, Any], fresh: Mapping[str, Any] | None = None) -> RunSpec:
    """Read what a container was made from; see RunSpec.from_inspect."""
    config, host = container["Config"], container["HostConfig"]
    asked = json.loads((host.get("Annotations") or {}).get(ASKED, "{}"))
    return RunSpec(
        name=container["Name"].removeprefix("/"),
        image=config["Image"],
        command=tuple(config.get("Cmd") or ()),
        entrypoint=_entrypoint(config),
        env=carried_env(config),
        labels=config.get("Labels") or {},
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        hostname=carried_hostname(container),
        domainname=config.get("Domainname") or "",
        extra_hosts=dict(entry.split(":", 1) for entry in host.get("ExtraHosts") or ()),
        mounts=mounts(container),
        ports=port_bindings(host.get("PortBindings") or {}),
        networks=_networks(container, asked.get("networks", {})),
        dns=_dns(host),
        restart=restart_policy(host.get("RestartPolicy") or {}),
        health=_health(config, asked.get("health")),
        limits=limits(host, fresh),
        security=security(host),
        namespaces=namespaces(host, fresh),
        devices=devices(host, asked.get("devices", {})),
        sysctls=host.get("Sysctls") or asked.get("sysctls", {}),
        logging=logging(host, fresh),
        init=bool(host.get("Init")),
        tty=config.get("Tty", False),
        stdin_open=config.get("OpenStdin", False),
        stop_signal=_signal_name(config.get("StopSignal") or ""),
        stop_timeout_seconds=config.get("StopTimeout"),
        auto_remove=host.get("AutoRemove", False),
    )


def asked_annotation(spec: RunSpec) -> dict[str, str]:
    """Note down what Podman's inspect will not show of this spec; empty if it shows all.

    The health check is among it, because Podman is not told of it.
    """
    asked = {
        "sysctls": spec.sysctls,
        "networks": {network.name: network.fixed for network in spec.networks if network.fixed},
        "devices": {d.source: d.permissions for d in spec.devices if d.permissions != "rwm"},
        "health": spec.health.model_dump() if spec.health and spec.health.command else None,
    }
    said = {key: value for key, value in asked.items() if value}
    return {ASKED: json.dumps(said)} if said else {}


def _health(config: Mapping[str, Any], asked: Mapping[str, Any] | None) -> HealthCheck | None:
    """Return the check that the engine knows of, else the one that it was not told."""
    native = from_engine(config.get("Healthcheck"))
    if asked and not (native and native.command):
        return HealthCheck.model_validate(asked)
    return native


def _entrypoint(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    entrypoint: Sequence[str] = config.get("Entrypoint") or ()
    if list(entrypoint) == [""]:
        return ()
    return tuple(entrypoint) or None


def _dns(host: Mapping[str, Any]) -> Dns:
    return Dns(
        servers=tuple(host.get("Dns") or ()),
        search=tuple(host.get("DnsSearch") or ()),
        options=tuple(host.get("DnsOptions") or ()),
    )


def restart_policy(policy: Mapping[str, Any]) -> RestartPolicy:
    """Read ``HostConfig.RestartPolicy``."""
    return RestartPolicy(
        name=policy.get("Name") or "no", max_retries=policy.get("MaximumRetryCount") or 0
    )


def _signal_name(text: str) -> str:
    """Spell a signal by its name; Podman's compatible answer has its number."""
    try:
        return signal.Signals(int(text)).name
    except ValueError:
        return text


def port_bindings(
    bindings: Mapping[str, Sequence[Mapping[str, str]] | None],
) -> tuple[Port, ...]:
    """Read ``HostConfig.PortBindings``."""
    return tuple(
        _port(key, target) for key, targets in bindings.items() for target in targets or ()
    )


def _port(key: str, target: Mapping[str, str]) -> Port:
    number, _, protocol = key.partition("/")
    host_ip = target.get("HostIp") or ""
    return Port.model_validate(
        {
            "container_port": number,
            "host_port": target["HostPort"] or 0,
            "host_ip": "" if host_ip in EVERY_ADDRESS else host_ip,
            "protocol": protocol or "tcp",
        }
    )


def _networks(
    container: Mapping[str, Any], asked: Mapping[str, Mapping[str, str]]
) -> tuple[NetworkAttachment, ...]:
    """Return the networks, none for the engine's default one.

    Podman makes aliases of the short id and of the host name by itself, the latter once more at
    each restore.
    """
    made_up = {container["Id"][:SHORT_ID_DIGITS], container["Config"].get("Hostname")}
    return tuple(
        NetworkAttachment(
            name=name,
            aliases=tuple(a for a in network.get("Aliases") or () if a not in made_up),
            **{**_fixed(network), **asked.get(name, {})},
        )
        for name, network in own_networks(container, keep=asked)
    )


def _fixed(network: Mapping[str, Any]) -> dict[str, str]:
    config = network.get("IPAMConfig") or {}  # Docker's; Podman never fills it in
    return {
        "ipv4": config.get("IPv4Address") or "",
        "ipv6": config.get("IPv6Address") or "",
    }
