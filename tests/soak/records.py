"""What was measured, as the report has it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from tests.bench.records import Machine


class Record(BaseModel):
    """A part of the report. Sizes in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reading(Record):
    """What was used up to a moment: CPU by whom, commands by name."""

    moment: float
    told: float  # seconds of what hosts tell, idle or not
    cpu: dict[str, float]
    commands: dict[str, int]
    written_bytes: int  # that clients sent to Redis
    memory_bytes: int  # that Redis holds

    def since(self, before: Reading) -> Use:
        """What was used between two moments."""
        return Use(
            seconds=self.moment - before.moment,
            told=self.told - before.told,
            cpu=_less(self.cpu, before.cpu),
            commands={k: int(v) for k, v in _less(self.commands, before.commands).items()},
            written_bytes=self.written_bytes - before.written_bytes,
            memory_bytes=self.memory_bytes - before.memory_bytes,
        )


class Use(Record):
    """What was used in a time."""

    seconds: float
    told: float
    cpu: dict[str, float]
    commands: dict[str, int]
    written_bytes: int
    memory_bytes: int

    @property
    def calls(self) -> int:
        """All commands together."""
        return sum(self.commands.values())


class Soak(Record):
    """A simulation: ``idle`` while nothing moved, ``busy`` from the first drain to the last end."""

    hosts: int
    workloads: int
    drained: int
    moves: int
    idle: Use
    busy: Use
    asked: float  # seconds that it took to ask for all drains
    stretch: float  # by how much seldomer than a worker a host told what it held
    machine: Machine

    def milliseconds(self, who: str) -> float:
        """CPU of a move, beyond what an idle installation takes that is told as much."""
        idle = self.idle.cpu[who] * self._idle_times
        return 1000 * max(0.0, self.busy.cpu[who] - idle) / self.moves

    @property
    def all_milliseconds(self) -> float:
        """The same of everybody together."""
        return sum(map(self.milliseconds, self.busy.cpu))

    @property
    def commands_per_move(self) -> float:
        """Redis commands, likewise."""
        return (self.busy.calls - self.idle.calls * self._idle_times) / self.moves

    @property
    def _idle_times(self) -> float:
        """How often as much was told while it was busy: with much to do, hosts told more slowly."""
        return self.busy.told / self.idle.told

    @property
    def memory_per_move(self) -> float:
        """What is kept of a move that is over."""
        return self.busy.memory_bytes / self.moves


class Report(Record):
    """All sizes, the smallest first."""

    soaks: tuple[Soak, ...]


def _less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0) for name, value in after.items()}
