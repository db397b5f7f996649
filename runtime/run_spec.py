"""How to make a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from runtime.records import Name, Spec
from runtime.run_parts import (
    Device,
    Dns,
    HealthCheck,
    Limits,
    Logging,
    Mount,
    Namespaces,
    NetworkAttachment,
    Port,
    RestartPolicy,
    Security,
)


class RunSpec(Spec):
    """How to make a container. ``env`` may hold secrets and is not shown in ``repr``."""

    name: Name
    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None  # None: the image's own; (): none
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    labels: dict[str, str] = Field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    hostname: str = ""
    domainname: str = ""
    extra_hosts: dict[str, str] = Field(default_factory=dict)  # name -> address or host-gateway
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    networks: tuple[NetworkAttachment, ...] = ()  # empty: the engine's default network
    dns: Dns = Dns()
    restart: RestartPolicy = RestartPolicy()
    health: HealthCheck | None = None  # None: the image's own
    limits: Limits = Limits()
    security: Security = Security()
    namespaces: Namespaces = Namespaces()
    devices: tuple[Device, ...] = ()
    sysctls: dict[str, str] = Field(default_factory=dict)
    logging: Logging = Logging()
    init: bool = False  # an init process in front of the command
    tty: bool = False
    stdin_open: bool = False
    stop_signal: str = ""
    stop_timeout_seconds: int | None = None
    auto_remove: bool = False

    @property
    def any_address(self) -> bool:
        """Whether nobody asked for its addresses, as far as it is known here."""
        return not any(network.fixed for network in self.networks)

    @classmethod
    def from_inspect(
        cls, container: Mapping[str, Any], fresh: Mapping[str, Any] | None = None
    ) -> RunSpec:
        """Derive the spec for a cold start from an engine's inspect answer.

        ``container`` is Docker's or libpod's answer; libpod's tells more. ``fresh`` is the
        HostConfig of a container that was made without any options on the same engine: only what
        differs from it was asked for. Without it Podman's shipped defaults stand in, and ulimits,
        which every installation sets differently, are left out.

        Not to be had from Podman for a container that it was not told to make by us: sysctls,
        fixed addresses, device permissions.
        """
        from runtime.deriving import run_spec  # that module is built on this one

        return run_spec(container, fresh)
