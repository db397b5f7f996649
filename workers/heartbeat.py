"""Tell the registry that this worker lives and what its host holds.

Two threads, because a listing blocks for as long as the engine holds a container's lock (from a
dump to the end of its archive), and a heartbeat must not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from runtime import CANARY_LABEL, CheckpointRuntime, RuntimeEngineError
from tasks.groups import workload_line
from tasks.models import Inventory, WorkerInfo, now
from tasks.registry import HEARTBEAT_SECONDS, Registry

INVENTORY_SECONDS = 1.0
log = structlog.get_logger()


class Heartbeat:
    """The signs of life of one worker, from ``start`` to ``stop``."""

    def __init__(
        self, registry: Registry, info: WorkerInfo, runtime: CheckpointRuntime | None
    ) -> None:
        self._registry = registry
        self._info = info
        self._runtime = runtime
        self._engine = ""
        self._over = threading.Event()
        loops = [(self._beat, HEARTBEAT_SECONDS)]
        if runtime is not None:
            loops.append((self._report, INVENTORY_SECONDS))
        self._threads = [
            threading.Thread(target=self._repeat, args=loop, daemon=True) for loop in loops
        ]

    def start(self) -> None:
        """Begin; the first beat is sent at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and say so."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=HEARTBEAT_SECONDS)
        self._quietly(lambda: self._registry.leave(self._info))

    def _repeat(self, act: Callable[[], None], every_seconds: float) -> None:
        while True:
            self._quietly(act)
            if self._over.wait(every_seconds):
                return

    def _beat(self) -> None:
        self._registry.beat(self._info.model_copy(update={"seen": now(), "engine": self._engine}))

    def _report(self) -> None:
        if self._runtime is None or self._info.host is None:
            return
        try:
            if not self._engine:
                found = self._runtime.capabilities()
                self._engine = f"{found.engine} {found.version}"
            lines = tuple(
                workload_line(container)
                for container in self._runtime.containers()
                if CANARY_LABEL not in container.labels and not container.infra
            )
            inventory = Inventory(host=self._info.host, containers=lines)
        except RuntimeEngineError as error:
            self._engine = ""
            inventory = Inventory(host=self._info.host, error=str(error))
        self._registry.report(inventory)

    def _quietly(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # Redis is away: the next beat tries again
            log.warning("heartbeat not sent", worker=self._info.id, reason=str(error))
