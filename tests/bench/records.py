"""What the benchmark measured, as its JSON report has it."""

from __future__ import annotations

import statistics
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

OURS = "podferry"


class Record(BaseModel):
    """A part of the report. Sizes in MiB, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(Record):
    """Where and when it was measured; ``load`` is what else ran there in the minute before."""

    taken: AwareDatetime
    cores: int
    memory_gib: float
    kernel: str
    load: float
    versions: dict[str, str]


class Timed(Record):
    """The runs of one tool over the same data."""

    mib: float
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """MiB a second."""
        return self.mib / self.median


Works = dict[str, dict[str, Timed]]  # by what was done, then by the tool


class Move(Record):
    """One move, timed from the first command to the end of the last.

    ``waits`` says where the time went that no step took.
    """

    total: float
    downtime: float
    steps: dict[str, float]
    waits: dict[str, float] = {}
    archive_mib: float


Moved = dict[str, tuple[Move, ...]]  # the runs, by the way to move


class Moves(Record):
    """Whole moves by the container's memory; ``entry`` is what entering a host costs by itself."""

    entry: float
    sizes: dict[int, Moved]


class Incremental(Record):
    """What two checkpoints of one container left in the store; between them a share changed."""

    mib: int
    changed: float
    first_mib: tuple[float, ...]
    second_mib: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The second one's bytes over the first one's."""
        pairs = zip(self.first_mib, self.second_mib, strict=True)
        return statistics.median(second / first for first, second in pairs)


class Preseed(Record):
    """Moves over links that are held to a rate."""

    mib: int
    link_mbit: int
    moves: Moved


class Growth(Record):
    """Memory of one worker and its children during one migration."""

    idle_mib: float
    peak_mib: float
    samples: int

    @property
    def above_idle_mib(self) -> float:
        """What the migration took."""
        return self.peak_mib - self.idle_mib


class Memory(Record):
    """Workers' memory by the container's memory, then by the worker's role."""

    measure: str
    sizes: dict[int, dict[str, Growth]]

    def peak_ratio(self, role: str) -> float:
        """The peak at the largest size over the peak at the smallest."""
        peaks = [self.sizes[size][role].peak_mib for size in (min(self.sizes), max(self.sizes))]
        return peaks[1] / peaks[0]


class Drained(Record):
    """A host of many containers (``mib`` in all), emptied; ``script`` moves one after another.

    ``rest`` is a program of nothing but REST calls, as many at a time as the drain: nothing that
    moves containers by Podman and a store is faster on that machine.
    The last three are CPU seconds of the whole machine: all hosts, and the store, share its cores.
    """

    containers: int
    mib: int
    expected: float
    took: float
    rest: float
    script: float
    took_cpu: float
    rest_cpu: float
    script_cpu: float


class Noticed(Record):
    """A host of containers of ``mib`` each that had so many seconds' ``notice``.

    Seconds from the notice until the last archive was ``stored``, and until all were ``healthy``
    elsewhere; how many ``kept`` their memory.
    """

    containers: int
    mib: int
    notice: int
    stored: float
    healthy: float
    kept: int


class Report(Record):
    """All sections that ran; ``skipped`` says why others did not."""

    version: Literal[1] = 1
    machine: Machine
    transfer: dict[int, Works] = {}
    codec: dict[int, Works] = {}
    moves: Moves | None = None
    incremental: Incremental | None = None
    preseed: Preseed | None = None
    memory: Memory | None = None
    drain: Drained | None = None
    notice: Noticed | None = None
    skipped: dict[str, str] = {}


def median_total(moves: tuple[Move, ...]) -> float:
    """Of these runs."""
    return statistics.median(move.total for move in moves)


def median_downtime(moves: tuple[Move, ...]) -> float:
    """Of these runs."""
    return statistics.median(move.downtime for move in moves)
