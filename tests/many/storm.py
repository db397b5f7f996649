"""Many small migrations at once, while workers are killed at random."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from podferry import EventType, Outcome, State, Workflow
from runtime import ContainerState
from tasks.errors import (
    HostOfflineError,
    NoControlWorkerError,
    UnknownContainerError,
)
from tests.many.installation import Installation
from workers.repeating import Repeating

LOOK_SECONDS = 0.1
RESTART_SECONDS = (0.2, 1.5)
WELL = {Outcome.MOVED, Outcome.RESUMED, Outcome.COLD, Outcome.UNTOUCHED}
# A worker that was killed a moment ago: its host is offline, or what it told last is out of date.
TOO_EARLY = (HostOfflineError, NoControlWorkerError, UnknownContainerError)


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

    @cached_property
    def names(self) -> list[str]:
        """The containers."""
        return [f"web-{number}" for number in range(self.plan.containers)]

    def run(self) -> None:
        """Start the containers, move all of them, and return when every workflow has ended."""
        chance = random.Random(self.plan.seed)  # noqa: S311 - a test's choices, to be repeated
        hosts = self.installation.hosts
        for name in self.names:
            hosts.run(chance.choice(hosts.names), name)
        self.installation.await_workers()
        killer = Repeating("killer", self._killer(), every_seconds=LOOK_SECONDS)
        killer.start()
        began = time.monotonic()
        try:
            while len(self.workflows) < self.plan.migrations:
                self._collect()
                self._submit(chance)
                assert time.monotonic() - began < self.plan.limit_seconds, self._stuck()
                time.sleep(LOOK_SECONDS)
        finally:
            killer.stop()
        self.seconds = time.monotonic() - began

    def _killer(self) -> Callable[[], None]:
        """Kills workers, spread over the run, and starts those again whose time has come."""
        chance = random.Random(self.plan.seed + 1)  # noqa: S311
        last = self.plan.migrations * 0.95
        moments = sorted(chance.uniform(0, last) for _ in range(self.plan.kills))

        def look() -> None:
            for worker in self.installation.workers:
                worker.restart_due()
            if moments and len(self.workflows) >= moments[0]:
                moments.pop(0)
                self._kill(chance)

        return look

    def _kill(self, chance: random.Random) -> None:
        alive = [worker for worker in self.installation.workers if worker.runs]
        victim = chance.choice(alive)
        victim.kill(restart_after=chance.uniform(*RESTART_SECONDS))
        self.killed.append(victim.name)

    def _submit(self, chance: random.Random) -> None:
        """Ask for every move whose container waits for its next one."""
        for name in self.names:
            if name not in self._running and self._moved[name] < self.plan.moves:
                with suppress(*TOO_EARLY):
                    self._move(name, chance)

    def _move(self, name: str, chance: random.Random) -> None:
        hosts = self.installation.hosts
        ((source, _),) = hosts.places(name)
        target = chance.choice([host for host in hosts.names if host != source])
        workflow = self.installation.client.migrate(name, to=target, source=source)
        self._running[name] = workflow.id
        self._moved[name] += 1

    def _collect(self) -> None:
        for name, workflow_id in list(self._running.items()):
            workflow = self.installation.client.status(workflow_id)
            if workflow.state is State.ENDED:
                del self._running[name]
                self.workflows.append(workflow)

    def _stuck(self) -> str:
        lines = [
            f"{workflow.model_dump_json(exclude={'steps': {'__all__': {'result'}}})}"
            for workflow in map(self.installation.client.status, self._running.values())
        ]
        return "\n".join([f"seed {self.plan.seed}: not ended:", *lines, self.installation.logs()])


def judge(storm: Storm) -> None:
    """Fail unless every workflow ended well and once, and every container is what it was."""
    hosts, client = storm.installation.hosts, storm.installation.client
    about = f"seed {storm.plan.seed}, killed {', '.join(storm.killed)}"
    assert len(storm.killed) == storm.plan.kills, about
    assert hosts.ledger.wrong == [], about
    unwell = [w for w in storm.workflows if w.outcome not in WELL]
    assert [(w.id, w.outcome, w.reason) for w in unwell] == [], about
    for workflow in storm.workflows:
        assert client.status(workflow.id) == workflow, f"{about}: it went on after its end"
        ends = [e for e in client.events(workflow.id) if e.type is EventType.ENDED]
        assert len(ends) <= 1, f"{about}: {workflow.id} ended twice"
    cold = {w.workload for w in storm.workflows if w.outcome is Outcome.COLD}
    assert {name for name, times in hosts.ledger.cold.items() if times} == cold, about
    for name in storm.names:
        places = [(host, container.state) for host, container in hosts.places(name)]
        assert [state for _, state in places] == [ContainerState.RUNNING], f"{about}: {name}"
        with_volume = [h for h, r in hosts.runtimes.items() if r.volume_exists(f"{name}-data")]
        assert with_volume == [places[0][0]], f"{about}: {name}"


def outcomes(workflows: list[Workflow]) -> Counter[Outcome]:
    """How many ended how."""
    return Counter(workflow.outcome for workflow in workflows if workflow.outcome)
