"""What a client asks of drains: begin one, call it off, bring home what left. Records only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.drains.back import homecoming
from tasks.drains.models import Drain, DrainOptions, new_drain
from tasks.drains.workloads import system
from tasks.errors import InvalidRequestError, SystemContainersError
from tasks.models import Inventory, State

if TYPE_CHECKING:
    from tasks.drains.records import Drains
    from tasks.registry import Registry

LOOK_BACK = 1000  # drains among which the last one of a host is looked for


def begin_drain(
    drains: Drains,
    registry: Registry,
    host: str,
    options: DrainOptions | None = None,
    *,
    deadline_seconds: float | None = None,
    reason: str = "",
    drain_id: str = "",
) -> Drain:
    """Cordon a host and begin to empty it.

    ``drain_id`` begins with ``drain-``; without it one is made.
    Raises UnknownHostError, HostOfflineError, NoControlWorkerError, HostBusyError,
    SystemContainersError.
    """
    drain = new_drain(
        host, options, deadline_seconds=deadline_seconds, reason=reason, drain_id=drain_id
    )
    require_drainable(registry, drain)
    drains.create(drain)
    registry.cordon(host, reason=reason or drain.id, drain=drain.id)
    return drain


def require_drainable(registry: Registry, drain: Drain) -> None:
    """Refuse what a drain of this host cannot do; raises as ``begin_drain`` does."""
    registry.require_host(drain.host)
    registry.require_control()
    inventory = registry.inventory(drain.host)
    names = system(inventory) if inventory else []
    if names and not drain.options.ignore_system:
        raise SystemContainersError(drain.host, names)


def cancel_drain(drains: Drains, drain_id: str) -> Drain:
    """Begin nothing more, and call back what can be.

    Raises DrainNotFoundError, InvalidRequestError when it has ended.
    """

    def change(drain: Drain) -> Drain:
        if drain.state is State.ENDED:
            raise InvalidRequestError(f"drain {drain.id} has ended: {drain.result}")
        return drain.model_copy(update={"cancel_requested": True})

    return drains.update(drain_id, change, ring=True)


def begin_homecoming(
    drains: Drains,
    registry: Registry,
    host: str,
    inventories: Sequence[Inventory],
    options: DrainOptions | None = None,
    *,
    deadline_seconds: float | None = None,
    drain_id: str = "",
) -> Drain:
    """Let a host take workloads again, and bring home what its last drain moved away.

    ``inventories`` are what all hosts hold. Raises UnknownHostError, HostOfflineError,
    NoControlWorkerError, HostBusyError, InvalidRequestError when nothing was drained.
    """
    registry.require_host(host)
    registry.require_control()
    items = homecoming(last_drain(drains, host), inventories)
    drain = new_drain(
        host, options, back=True, deadline_seconds=deadline_seconds, drain_id=drain_id
    )
    drain = drain.model_copy(update={"items": tuple(items)})
    drains.create(drain)
    registry.uncordon(host)
    return drain


def last_drain(drains: Drains, host: str) -> Drain:
    """The newest drain of a host that moved something away. Raises InvalidRequestError."""
    known = (d for d in drains.recent(LOOK_BACK, host=host) if not d.back and d.result)
    found = next(known, None)
    if found is None:
        raise InvalidRequestError(f"host {host!r} was not drained: there is nothing to bring home")
    return found


def newest(drains: Drains, host: str) -> Drain:
    """The newest drain of a host. Raises InvalidRequestError."""
    found = drains.recent(1, host=host)
    if not found:
        raise InvalidRequestError(f"host {host!r} was never drained")
    return found[0]
