"""Pods: containers that share namespaces, which an infra container of the engine's holds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runtime.records import Fact, Name, Spec
from runtime.run_parts import Dns, NetworkAttachment, Port, RestartPolicy


class PodSpec(Spec):
    """How to make a pod. Empty means the engine's default.

    ``networks`` have the addresses that are to be claimed, not only fixed ones. ``restart`` is
    what its containers get that name no policy of their own.
    """

    name: Name
    labels: dict[str, str] = Field(default_factory=dict)
    share: tuple[str, ...] = ("ipc", "net", "uts")
    hostname: str = ""
    infra_name: str = ""
    exit_policy: Literal["continue", "stop"] = "continue"
    restart: RestartPolicy = RestartPolicy()
    ports: tuple[Port, ...] = ()
    networks: tuple[NetworkAttachment, ...] = ()
    dns: Dns = Dns()
    extra_hosts: dict[str, str] = Field(default_factory=dict)
    shm_bytes: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses in all of its networks."""
        return tuple(a for n in self.networks for a in (n.ipv4, n.ipv6) if a)

    def with_new_addresses(self) -> PodSpec:
        """The same pod, its addresses left to the engine."""
        networks = (NetworkAttachment(name=n.name, aliases=n.aliases) for n in self.networks)
        return self.model_copy(update={"networks": tuple(networks)})


class PodInfo(Fact):
    """One pod as its engine describes it.

    ``unsupported`` names, for people, what it was made with and ``spec`` cannot say.
    """

    id: str
    spec: PodSpec
    infra: str = ""  # the id of its infra container; empty: it has none
    members: tuple[str, ...] = ()  # the names of its other containers, running or not
    system_v: bool = False  # its IPC namespace has System V objects
    unsupported: tuple[str, ...] = ()
