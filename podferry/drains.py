"""Emptying hosts and filling them again, as a control plane or a person asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from runtime import Finding, blockers
from tasks.drains.models import Drain, DrainOptions, Item, ItemState, Method, new_drain
from tasks.drains.requests import (
    begin_drain,
    begin_homecoming,
    cancel_drain,
    newest,
    require_drainable,
)
from tasks.errors import WaitTimeoutError, WorkloadBusyError
from tasks.models import Kind, State, Workflow, new_workflow

if TYPE_CHECKING:
    from tasks.drains.records import Drains as DrainRecords
    from tasks.locate import Locator
    from tasks.records import Records
    from tasks.registry import Registry

OnChange = Callable[[Drain], None]
Ask = Callable[[Workflow], tuple[Finding, ...]]
LOOK_SECONDS = 0.3
CHECK_SECONDS = 120.0


class Drains:
    """What ``Client.drains`` offers. Every method may raise BrokerUnavailableError."""

    def __init__(
        self, drains: DrainRecords, records: Records, registry: Registry, locator: Locator
    ) -> None:
        self._drains = drains
        self._records = records
        self._registry = registry
        self._locator = locator

    def begin(
        self,
        host: str,
        options: DrainOptions | None = None,
        *,
        deadline_seconds: float | None = None,
        reason: str = "",
    ) -> Drain:
        """Cordon a host and move away all that runs there; it stays cordoned afterwards.

        Raises UnknownHostError, HostOfflineError, NoControlWorkerError, HostBusyError,
        SystemContainersError.
        """
        return begin_drain(
            self._drains,
            self._registry,
            host,
            options,
            deadline_seconds=deadline_seconds,
            reason=reason,
        )

    def plan(
        self,
        host: str,
        options: DrainOptions | None = None,
        *,
        deadline_seconds: float | None = None,
        ask: Ask | None = None,
    ) -> Drain:
        """What ``begin`` would do: nothing is changed, and the record is not kept.

        ``ask`` is given a preflight for each live move and answers with what it found: so the plan
        knows what cannot be checkpointed. Raises what ``begin`` raises, and InvalidRequestError.
        """
        from tasks.drains.driving import Driver

        drain = new_drain(host, options, deadline_seconds=deadline_seconds)
        require_drainable(self._registry, drain)
        self._locator.fresh()
        driver = Driver(self._drains, self._records, self._registry)
        drain = driver.plan(drain)
        if ask is None:
            return drain
        return driver.plan(drain.with_items([_checked(item, ask) for item in drain.items]))

    def bring_back(
        self,
        host: str,
        options: DrainOptions | None = None,
        *,
        deadline_seconds: float | None = None,
    ) -> Drain:
        """Uncordon a host and bring home, with their memory, what its last drain moved away.

        Raises what ``begin`` raises; InvalidRequestError when the host was not drained.
        """
        return begin_homecoming(
            self._drains,
            self._registry,
            host,
            self._locator.fresh(),
            options,
            deadline_seconds=deadline_seconds,
        )

    def get(self, name: str) -> Drain:
        """A drain by its id, or the newest of a host. Raises DrainNotFoundError."""
        if self._registry.known(name):
            return newest(self._drains, name)
        return self._drains.get(name)

    def workflows(self, drain: Drain) -> dict[str, Workflow]:
        """The newest workflow of each of a drain's workloads by id, as far as they are kept."""
        ids = [item.workflow_id for item in drain.items if item.workflow_id]
        return {workflow.id: workflow for workflow in self._records.some(ids)}

    def live(self) -> list[Drain]:
        """The drains that have not ended, by host."""
        return self._drains.live()

    def recent(self, limit: int = 20, *, host: str | None = None) -> list[Drain]:
        """The newest drains, newest first, of all hosts or of one."""
        return self._drains.recent(limit, host=host)

    def cancel(self, name: str) -> Drain:
        """Begin nothing more of a drain, and call back what is under way, where that can be.

        The host stays cordoned. Raises DrainNotFoundError, InvalidRequestError when it has ended.
        """
        return cancel_drain(self._drains, self.get(name).id)

    def watch(self, drain_id: str, *, timeout_seconds: float | None = None) -> Iterator[Drain]:
        """The record, whenever it has changed, till the end. Raises WaitTimeoutError."""
        limit = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        seen: Drain | None = None
        while True:
            drain = self._drains.get(drain_id)
            if drain != seen:
                yield drain
            seen = drain
            if drain.state is State.ENDED:
                return
            if limit is not None and time.monotonic() > limit:
                raise WaitTimeoutError(drain_id)
            time.sleep(LOOK_SECONDS)

    def wait(self, drain_id: str, *, timeout_seconds: float | None = None) -> Drain:
        """The record at the end. Raises WaitTimeoutError."""
        *_, last = self.watch(drain_id, timeout_seconds=timeout_seconds)
        return last


def _checked(item: Item, ask: Ask) -> Item:
    """The item as a preflight leaves it: cold, or not to be moved, where it cannot go live."""
    if item.method is not Method.LIVE or item.target is None:
        return item
    preflight = new_workflow(
        Kind.PREFLIGHT,
        item.workload,
        group=item.group,
        members=item.containers,
        source=item.source,
        target=item.target,
        deadline_seconds=CHECK_SECONDS,
    )
    try:
        found = blockers(ask(preflight))
    except WorkloadBusyError as error:  # a drain waits for its end
        return item.changed(because=str(error))
    if not found:
        return item
    reason = "; ".join(finding.message for finding in found)
    if item.may_go_cold:
        return item.changed(method=Method.COLD, may_go_live=False, because=reason)
    return item.changed(method=Method.STAY, state=ItemState.FAILED, reason=reason)
