"""Find the host that a workload is on, from inventories that are fresh enough to say no."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.errors import AmbiguousContainerError, InvalidRequestError
from tasks.groups import group_members
from tasks.models import GroupKind, Inventory, WorkloadLine, now
from tasks.registry import Registry, choose

FRESH_SECONDS = 4.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Place:
    """A workload and the host that it is on."""

    host: str
    name: str
    group: GroupKind | None = None  # None: one container
    members: tuple[str, ...] = ()  # the names of a group's containers, sorted

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of its containers."""
        return self.members if self.group else (self.name,)


class Locator:
    """Where workloads are. A container made a moment ago is found too."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def locate(self, workload: str, host: str | None) -> Place:
        """Find a container by its name or id, else a compose project, else a pod by its name.

        Raises UnknownContainerError, AmbiguousContainerError. Before it says that there is none it
        waits for inventories younger than the question; a group's members are never taken from
        older ones.
        """
        found = self._on(workload, host)
        if not found:
            inventories = self.fresh()
            found = self._on(workload, host)
            if not found and (groups := _groups(workload, inventories, host)):
                return _only(workload, groups)
        asked = [host] if host else self._registry.online()
        place, line = choose(workload, found, asked)
        return Place(host=place, name=line.name)

    def refuse_copies(self, names: Iterable[str], target: str, *, replace: bool) -> None:
        """Refuse a restore beside a copy that runs, or over one that was not given up."""
        self.fresh()
        for name, host, line in ((n, *place) for n in names for place in self._registry.find(n)):
            if host == target and not replace:
                raise InvalidRequestError(
                    f"{name!r} is on {host!r} already ({line.state}); "
                    "add --replace to discard it for the checkpoint"
                )
            if host != target and line.state == "running":
                raise InvalidRequestError(
                    f"{name!r} runs on {host!r}; a second copy is refused, stop that one first"
                )

    def fresh(self) -> list[Inventory]:
        """The live hosts' inventories, taken after this call where the hosts answer in time."""
        asked = now()
        limit = time.monotonic() + FRESH_SECONDS
        while True:
            online = set(self._registry.online())
            known = self._registry.inventories()
            inventories = [known[host] for host in sorted(online & known.keys())]
            if len(inventories) == len(online) and all(i.taken > asked for i in inventories):
                return inventories
            if time.monotonic() > limit:
                return inventories
            time.sleep(POLL_SECONDS)

    def _on(self, container: str, host: str | None) -> list[tuple[str, WorkloadLine]]:
        found = self._registry.find(container)
        return [place for place in found if host is None or place[0] == host]


def _groups(name: str, inventories: Iterable[Inventory], host: str | None) -> list[Place]:
    return [
        Place(host=inventory.host, name=name, group=group, members=members)
        for group in GroupKind
        for inventory in inventories
        if host in {None, inventory.host}
        and (members := group_members(inventory.containers, group, name))
    ]


def _only(name: str, groups: list[Place]) -> Place:
    of_first_kind = [place for place in groups if place.group is groups[0].group]
    if len(of_first_kind) > 1:
        raise AmbiguousContainerError(name, [place.host for place in of_first_kind])
    return of_first_kind[0]
