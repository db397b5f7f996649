"""Tell the registry that this worker lives, what its host is, and what it holds.

Three threads, because what asks the engine blocks for as long as it holds a container's lock (from
a dump to the end of its archive), and neither a heartbeat nor the room that is left may wait for
that. What must not stay or run on the host goes before it is listed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis.exceptions import RedisError

from runtime import CANARY_LABEL, CheckpointRuntime, HostFacts, Room, RuntimeEngineError
from tasks.groups import workload_line
from tasks.hosts import HostReport
from tasks.models import Inventory, WorkerInfo, now
from tasks.registry import HEARTBEAT_SECONDS, Registry
from workers.repeating import Repeating

INVENTORY_SECONDS = 1.0
ROOM_SECONDS = 5.0
FACTS_SECONDS = 300.0


class Heartbeat:
    """The signs of life of one worker, from ``start`` to ``stop``."""

    def __init__(
        self,
        registry: Registry,
        info: WorkerInfo,
        runtime: CheckpointRuntime | None,
        *,
        evict: Callable[[], None] = lambda: None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._evict = evict
        self._info = info
        self._runtime = runtime
        self._engine = ""
        self._labels = dict(labels or {})
        self._facts: HostFacts | None = None
        self._look_again = 0.0
        self._memory: dict[str, int] = {}
        self._loops = [Repeating("heartbeat", self.beat, every_seconds=HEARTBEAT_SECONDS)]
        if runtime is not None:
            report = Repeating("inventory", self.report, every_seconds=INVENTORY_SECONDS)
            room = Repeating("room", self.report_host, every_seconds=ROOM_SECONDS)
            self._loops += [report, room]

    def start(self) -> None:
        """Begin; the first beat is sent at once."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """End, and say so."""
        for loop in self._loops:
            loop.stop()
        with suppress(RedisError):  # the heartbeat that stops says it too
            self._registry.leave(self._info)

    def beat(self) -> None:
        """Say that the worker lives."""
        self._registry.beat(self._info.model_copy(update={"seen": now(), "engine": self._engine}))

    def report(self) -> None:
        """Say what the host holds."""
        if self._runtime is None or self._info.host is None:
            return
        try:
            self._evict()
            if not self._engine:
                found = self._runtime.capabilities()
                self._engine = f"{found.engine} {found.version}"
            lines = tuple(
                workload_line(container, self._memory.get(container.id, 0))
                for container in self._runtime.containers()
                if CANARY_LABEL not in container.labels and not container.infra
            )
            inventory = Inventory(host=self._info.host, containers=lines)
        except RuntimeEngineError as error:
            self._engine = ""
            inventory = Inventory(host=self._info.host, error=str(error))
        self._registry.report(inventory)
        self._look(self._runtime)

    def _look(self, runtime: CheckpointRuntime) -> None:
        """Ask for what rarely changes; that costs the engine much, and may wait as a list does."""
        if not self._engine or time.monotonic() < self._look_again:
            return
        with suppress(RuntimeEngineError):  # the next list tells why
            first, self._facts = self._facts is None, runtime.host_facts()
            self._look_again = time.monotonic() + FACTS_SECONDS
            if first:
                self.report_host()

    def report_host(self) -> None:
        """Say what the host is, and what it has left."""
        if self._runtime is None or self._info.host is None:
            return
        facts = self._facts
        room = self._runtime.room(facts) if facts else Room()
        self._registry.report_host(
            HostReport(host=self._info.host, labels=self._labels, facts=facts, room=room)
        )
        with suppress(RuntimeEngineError):  # the inventory says so
            self._memory = self._runtime.memory_used()
