"""The matrix: which accident happens where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from podferry import Unit

SHARE = 10  # one row of so many is tried with every commit


class Accident(StrEnum):
    """What happens to a worker, or to what it needs."""

    KILL = "its worker is killed"
    KILL_LATE = "its worker is killed a moment later"
    GONE = "its worker is killed and stays away for long"
    FREEZE = "its worker sleeps past its lease, then goes on"
    REDIS = "Redis is restarted"
    MINIO = "MinIO is away for 20 s"
    CUT = "its host is cut off for 20 s"
    FULL = "its host's disk is full"


class Way(StrEnum):
    """Which units a move comes through."""

    STRAIGHT = "straight"
    SENT_AHEAD = "sent ahead"  # with preseed
    COLD = "cold"  # no restore works on the target
    BACK = "back"  # likewise, and the request wants it back


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial."""

    unit: Unit
    point: str
    accident: Accident = Accident.KILL

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return f"{self.unit}: {self.point}: {self.accident.name.lower()}"

    @property
    def host(self) -> str:
        """Whose worker comes to the breakpoint; moves go from a to b."""
        return "b" if self.unit in ON_TARGET else "a"

    @property
    def way(self) -> Way:
        """How the move has to go to come there."""
        return WAYS.get(self.unit, Way.STRAIGHT)


ON_TARGET = {
    *(Unit.PREFLIGHT, Unit.PULL_IMAGE, Unit.PREFETCH, Unit.RESTORE, Unit.UP, Unit.DISCARD),
}
WAYS = {
    Unit.PRESEED: Way.SENT_AHEAD,
    Unit.PREFETCH: Way.SENT_AHEAD,
    Unit.UP: Way.COLD,
    Unit.DISCARD: Way.BACK,
    Unit.RESUME: Way.BACK,
}
# Each unit is also hit when its step was entered, when it has worked, and when it was committed:
# the boundary to the next step.
POINTS = {
    Unit.DESCRIBE: ("container_facts",),
    Unit.PREFLIGHT: ("target_facts",),
    Unit.PUSH_IMAGE: ("write_image half",),
    Unit.PULL_IMAGE: ("load_image", "load_image done"),
    Unit.PRESEED: ("checkpoint done", "write_pages half"),
    Unit.PREFETCH: ("prefetch",),
    Unit.CHECKPOINT: (
        *("announce", "announce done", "checkpoint", "checkpoint done", "write_pages half"),
        *("write_pages fed", "publish", "publish done"),
    ),
    Unit.RESTORE: ("restore", "restore half", "permitted", "restore fed", "restore done"),
    Unit.FINISH: ("remove", "remove done"),
    Unit.UP: ("run done", "permitted", "start done"),
    Unit.DISCARD: ("remove", "remove done"),
    Unit.RESUME: ("restore_in_place", "restore_in_place done"),
}
ALWAYS = ("claimed", "worked", "committed")
OTHERS = {
    Accident.KILL_LATE: ((Unit.CHECKPOINT, "checkpoint"), (Unit.RESTORE, "restore fed")),
    Accident.GONE: ((Unit.CHECKPOINT, "write_pages half"), (Unit.RESTORE, "restore half")),
    Accident.FREEZE: (
        *((Unit.CHECKPOINT, p) for p in ("checkpoint done", "write_pages half", "publish")),
        *((Unit.RESTORE, p) for p in ("restore half", "permitted", "restore done", "worked")),
        (Unit.FINISH, "remove"),
        (Unit.UP, "permitted"),
        (Unit.RESUME, "restore_in_place"),
    ),
    Accident.REDIS: (
        *((Unit.DESCRIBE, "committed"), (Unit.CHECKPOINT, "write_pages half")),
        *((Unit.RESTORE, "restore half"), (Unit.FINISH, "claimed")),
    ),
    Accident.MINIO: (
        *((Unit.PREFLIGHT, "claimed"), (Unit.CHECKPOINT, "write_pages half")),
        *((Unit.CHECKPOINT, "publish"), (Unit.RESTORE, "restore half")),
    ),
    Accident.CUT: (
        *((Unit.PREFLIGHT, "claimed"), (Unit.CHECKPOINT, "checkpoint done")),
        *((Unit.CHECKPOINT, "write_pages half"), (Unit.RESTORE, "restore half")),
        *((Unit.RESTORE, "restore done"), (Unit.FINISH, "claimed")),
    ),
    Accident.FULL: ((Unit.CHECKPOINT, "claimed"), (Unit.RESTORE, "claimed")),
}


def all_rows() -> tuple[Row, ...]:
    """The whole matrix."""
    return tuple(_rows())


def chosen_rows(commit: str) -> tuple[Row, ...]:
    """The share of the matrix that a commit tries; other commits try others."""
    return tuple(row for row in all_rows() if _number(commit, row.name) % SHARE == 0)


def _rows() -> Iterator[Row]:
    for unit, points in POINTS.items():
        for point in (*ALWAYS[:1], *points, *ALWAYS[1:]):
            yield Row(unit=unit, point=point)
    for accident, places in OTHERS.items():
        for unit, point in places:
            yield Row(unit=unit, point=point, accident=accident)


def _number(*words: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(words).encode()).digest()[:8], "big")
