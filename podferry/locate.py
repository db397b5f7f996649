"""Find the host that a container is on, from inventories that are fresh enough to say no."""

from __future__ import annotations

import time

from tasks.errors import InvalidRequestError
from tasks.models import Inventory, WorkloadLine, now
from tasks.registry import Registry, choose

FRESH_SECONDS = 4.0
POLL_SECONDS = 0.1


class Locator:
    """Where containers are. A container made a moment ago is found too."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def locate(self, container: str, host: str | None) -> tuple[str, WorkloadLine]:
        """The host and line of a container. Raises UnknownContainerError, AmbiguousContainerError.

        Before it says that there is none it waits for inventories younger than the question.
        """
        found = self._on(container, host)
        if not found:
            self.fresh()
            found = self._on(container, host)
        asked = [host] if host else [s.host for s in self._registry.hosts() if s.online]
        return choose(container, found, asked)

    def refuse_copies(self, workload: str, target: str, *, replace: bool) -> None:
        """Refuse a restore beside a copy that runs, or over one that was not given up."""
        self.fresh()
        for host, line in self._registry.find(workload):
            if host == target and not replace:
                raise InvalidRequestError(
                    f"{workload!r} is on {host!r} already ({line.state}); "
                    "add --replace to discard it for the checkpoint"
                )
            if host != target and line.state == "running":
                raise InvalidRequestError(
                    f"{workload!r} runs on {host!r}; a second copy is refused, stop that one first"
                )

    def fresh(self) -> list[Inventory]:
        """The live hosts' inventories, taken after this call where the hosts answer in time."""
        asked = now()
        limit = time.monotonic() + FRESH_SECONDS
        while True:
            online = {status.host for status in self._registry.hosts() if status.online}
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
