"""The accidents, on real processes, networks and disks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.rows import Accident
from tests.fleet import Fleet, children, eventually

AWAY_SECONDS = 20.0
GONE_SECONDS = 75.0  # longer than a step waits for its host
BACK_SECONDS = 2.0  # as a supervisor starts it again
A_MOMENT_SECONDS = 0.3
LEASE_SECONDS = 4.0
DISK_BYTES = 1 << 20


class Breakpoint:
    """Where a host's worker stops."""

    def __init__(self, directory: Path, host: str, where: str) -> None:
        self._armed = directory / host / "armed"
        self._reached = directory / host / "reached"
        self._armed.parent.mkdir(parents=True, exist_ok=True)
        self._where = where

    @contextmanager
    def armed(self) -> Iterator[None]:
        """A worker that comes to it stops there; none that comes later does."""
        ready = self._armed.with_suffix(".new")
        ready.write_text(self._where)
        ready.rename(self._armed)
        try:
            yield
        finally:
            self._armed.unlink(missing_ok=True)
            self.release()

    def reached(self) -> bool:
        """Whether a worker stands there."""
        return self._reached.exists()

    def release(self) -> None:
        """Let it go on."""
        self._reached.unlink(missing_ok=True)


def cause(accident: Accident, fleet: Fleet, host: str, stop: Breakpoint) -> None:
    """Let an accident happen to a worker that stands at a breakpoint; the rest is repaired."""
    ACCIDENTS[accident](fleet, host, stop)


def _kill(fleet: Fleet, host: str, stop: Breakpoint, *, away: float = BACK_SECONDS) -> None:
    fleet.kill_worker(host)
    stop.release()
    time.sleep(away)
    fleet.start_workers()


def _kill_late(fleet: Fleet, host: str, stop: Breakpoint) -> None:
    stop.release()
    time.sleep(A_MOMENT_SECONDS)
    _kill(fleet, host, stop)


def _gone(fleet: Fleet, host: str, stop: Breakpoint) -> None:
    _kill(fleet, host, stop, away=GONE_SECONDS)


@contextmanager
def frozen(fleet: Fleet, host: str, stop: Breakpoint) -> Iterator[None]:
    """A worker that sleeps where it stands, offline; afterwards it goes on as if nothing were."""
    worker = fleet.worker(host)
    tree = (worker, *children(worker))
    _signal(tree, signal.SIGSTOP)
    stop.release()
    try:
        eventually(lambda: not fleet.online(host), f"{host} goes offline")
        yield
    finally:
        _signal(tree, signal.SIGCONT)


def _freeze(fleet: Fleet, host: str, stop: Breakpoint) -> None:
    """It sleeps until its step was given to another."""
    with frozen(fleet, host, stop):
        time.sleep(LEASE_SECONDS)


def _without(service: str) -> Callable[[Fleet, str, Breakpoint], None]:
    def away(fleet: Fleet, _: str, stop: Breakpoint) -> None:
        with fleet.without(service):
            stop.release()
            time.sleep(AWAY_SECONDS)

    return away


def _restart_redis(fleet: Fleet, _: str, stop: Breakpoint) -> None:
    with fleet.without("redis"):
        stop.release()


def _cut(fleet: Fleet, host: str, stop: Breakpoint) -> None:
    fleet.lab.call("cut", host)
    try:
        stop.release()
        time.sleep(AWAY_SECONDS)
    finally:
        fleet.lab.call("mend", host)


def _full(fleet: Fleet, host: str, stop: Breakpoint) -> None:
    """Where the engine keeps what comes and goes, there is no room for an archive."""
    mount = f"mount -t tmpfs -o size={DISK_BYTES} none /var/tmp"
    fleet.lab.call("enter", host, "--", "sh", "-c", mount)
    try:
        stop.release()
        time.sleep(AWAY_SECONDS)
    finally:
        fleet.lab.call("enter", host, "--", "umount", "-l", "/var/tmp")


def _signal(processes: tuple[int, ...], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


ACCIDENTS: dict[Accident, Callable[[Fleet, str, Breakpoint], None]] = {
    Accident.KILL: _kill,
    Accident.KILL_LATE: _kill_late,
    Accident.GONE: _gone,
    Accident.FREEZE: _freeze,
    Accident.REDIS: _restart_redis,
    Accident.MINIO: _without("minio"),
    Accident.CUT: _cut,
    Accident.FULL: _full,
}
