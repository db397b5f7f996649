"""Many small migrations at once, while workers are killed at random."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from podferry import Outcome, State, Workflow
from tasks.errors import HostOfflineError, NoControlWorkerError, UnknownHostError
from tests.many.installation import Installation

LOOK_SECONDS = 0.1
RESTART_SECONDS = (0.2, 1.5)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many of what; ``seed`` decides every choice that is left to chance."""

    containers: int = 100
    moves: int = 2  # of each container, one after the other
    kills: int = 20
    seed: int = field(default_factory=lambda: random.randrange(1 << 32))  # noqa: S311
    limit_seconds: float = 420.0

    @property
    def migrations(self) -> int:
        """All of them."""
        return self.containers * self.moves


@dataclass(kw_only=True)
class Storm:
    """One run. ``killed`` are the workers' names, in order; ``workflows`` those that ended."""

    plan: Plan
    installation: Installation
    workflows: list[Workflow] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    _running: dict[str, str] = field(default_factory=dict)  # container: workflow
    _moved: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Start the containers, move all of them, and return when every workflow has ended."""
        chance = random.Random(self.plan.seed)  # noqa: S311 - a test's choices, to be repeated
        names = [f"web-{number}" for number in range(self.plan.containers)]
        hosts = self.installation.hosts
        for name in names:
            hosts.run(chance.choice(hosts.names), name)
        self._await_workers()
        kill_after = self._kills(chance)
        next_kill = next(kill_after)
        began = time.monotonic()
        while len(self.workflows) < self.plan.migrations:
            for worker in self.installation.workers:
                worker.restart_due()
            self._collect()
            for name in names:
                if name not in self._running and self._moved[name] < self.plan.moves:
                    self._submit(name, chance)
            if len(self.workflows) >= next_kill:
                self._kill(chance)
                next_kill = next(kill_after)
            assert time.monotonic() - began < self.plan.limit_seconds, self._stuck()
            time.sleep(LOOK_SECONDS)
        self.seconds = time.monotonic() - began

    def _kills(self, chance: random.Random) -> Iterator[float]:
        """After how many ended workflows the next worker is killed: spread over the run."""
        at = sorted(chance.uniform(0, self.plan.migrations * 0.95) for _ in range(self.plan.kills))
        yield from at
        yield float("inf")

    def _kill(self, chance: random.Random) -> None:
        alive = [worker for worker in self.installation.workers if worker.runs]
        victim = chance.choice(alive)
        victim.kill(restart_after=chance.uniform(*RESTART_SECONDS))
        self.killed.append(victim.name)

    def _submit(self, name: str, chance: random.Random) -> None:
        hosts, client = self.installation.hosts, self.installation.client
        ((source, _),) = hosts.places(name)
        target = chance.choice([host for host in hosts.names if host != source])
        try:
            workflow = client.migrate(name, to=target, source=source)
        except (HostOfflineError, UnknownHostError, NoControlWorkerError):
            return  # killed a moment ago: the next round asks again
        self._running[name] = workflow.id
        self._moved[name] += 1

    def _collect(self) -> None:
        for name, workflow_id in list(self._running.items()):
            workflow = self.installation.client.status(workflow_id)
            if workflow.state is State.ENDED:
                del self._running[name]
                self.workflows.append(workflow)

    def _await_workers(self) -> None:
        limit = time.monotonic() + 120
        wanted = len(self.installation.workers)
        while sum(alive for _, alive in self.installation.client.workers()) < wanted:
            assert time.monotonic() < limit, self.installation.logs()
            time.sleep(LOOK_SECONDS)
        self.installation.client.inventories()

    def _stuck(self) -> str:
        lines = [
            f"{workflow.model_dump_json(exclude={'steps': {'__all__': {'result'}}})}"
            for workflow in map(self.installation.client.status, self._running.values())
        ]
        return "\n".join([f"seed {self.plan.seed}: not ended:", *lines, self.installation.logs()])


def outcomes(workflows: list[Workflow]) -> Counter[Outcome]:
    """How many ended how."""
    return Counter(workflow.outcome for workflow in workflows if workflow.outcome)
