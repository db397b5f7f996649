"""Networks and volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from runtime.records import Name, Spec


class Subnet(Spec):
    """A subnet of a network. The range, if there is one, is where addresses are given from."""

    subnet: str  # "10.89.0.0/24"
    gateway: str = ""
    range_start: str = ""
    range_end: str = ""


class NetworkSpec(Spec):
    """A network. An empty ``subnets`` lets the engine choose one."""

    name: Name
    driver: str = "bridge"
    labels: dict[str, str] = Field(default_factory=dict)
    options: dict[str, str] = Field(default_factory=dict)
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    ipv6: bool = False
    dns: bool = True  # names of containers resolve; False is Podman's only

    @classmethod
    def from_inspect(cls, network: Mapping[str, Any]) -> NetworkSpec:
        """Read Docker's or libpod's inspect answer, so that another host can be given the same."""
        from runtime.object_answers import network_spec  # that module is built on this one

        return network_spec(network)

    def satisfied_by(self, other: NetworkSpec) -> bool:
        """Tell whether ``other`` has the labels and all that this spec asks for."""
        same = self.model_copy(update={"options": other.options, "subnets": other.subnets})
        return (
            same == other
            and self.options.items() <= other.options.items()
            and all(any(_offers(o, mine) for o in other.subnets) for mine in self.subnets)
        )


class VolumeSpec(Spec):
    """A named volume; ``options`` are its driver's (``type``, ``device``, ``o`` of ``local``)."""

    name: Name
    driver: str = "local"
    labels: dict[str, str] = Field(default_factory=dict)
    options: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def from_inspect(cls, volume: Mapping[str, Any]) -> VolumeSpec:
        """Read Docker's or libpod's inspect answer, so that another host can be given the same."""
        from runtime.object_answers import volume_spec  # that module is built on this one

        return volume_spec(volume)


def _offers(offered: Subnet, asked: Subnet) -> bool:
    mine, theirs = asked.model_dump(), offered.model_dump()
    return all(theirs[key] == value for key, value in mine.items() if value)
