"""A report as a run would write it, for the tests of what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.bench.claims import REST, SCRIPT
from tests.bench.records import (
    OURS,
    Growth,
    Incremental,
    Machine,
    Memory,
    Move,
    Moved,
    Moves,
    Preseed,
    Report,
    Timed,
)


def move(total: float, downtime: float) -> Move:
    """A move with one step."""
    return Move(
        total=total,
        downtime=downtime,
        steps={"checkpoint": downtime / 2},
        waits={"command start": 0.5},
        archive_mib=64.5,
    )


def report(*, rate: float = 1.0, slower: float = 1.0) -> Report:
    """Every promise holds, unless transfers have another ``rate`` or moves are ``slower``."""
    mib = 1024
    transfers = {
        OURS: Timed(mib=mib, seconds=(2.0 / rate, 2.1 / rate, 1.9 / rate)),
        "mc": Timed(mib=mib, seconds=(2.1, 2.0, 2.2)),
        "boto3": Timed(mib=mib, seconds=(4.0, 4.0, 5.0)),
    }
    moves: Moved = {
        OURS: (move(7.0 * slower, 5.0 * slower), move(7.2 * slower, 5.2 * slower)),
        f"{SCRIPT}, zstd": (move(14.0, 12.0), move(13.0, 11.0)),
        f"{SCRIPT}, none": (move(10.0, 9.0), move(10.4, 9.2)),
        REST: (move(6.9, 5.0), move(6.9, 5.0)),
    }
    grown = Growth(idle_mib=200.0, peak_mib=290.0, samples=100)
    return Report(
        machine=Machine(
            taken=datetime(2026, 1, 2, tzinfo=UTC),
            cores=2,
            memory_gib=23.5,
            kernel="6.18.5",
            load=0.25,
            versions={"Podman": "5.4.2", "CRIU": "4.1.1"},
        ),
        transfer={mib: {"upload": transfers, "download": transfers}},
        codec={mib: {"encode random": transfers}},
        moves=Moves(entry=0.1, sizes={64: moves, mib: moves}),
        incremental=Incremental(mib=mib, changed=0.05, first_mib=(1000.0,), second_mib=(55.0,)),
        preseed=Preseed(
            mib=mib,
            link_mbit=200,
            moves={OURS: (move(120.0, 20.0),), f"{SCRIPT}, zstd": (move(110.0, 100.0),)},
        ),
        memory=Memory(
            measure="PSS",
            sizes={size: {"source": grown, "target": grown} for size in (1024, 4096)},
        ),
    )
