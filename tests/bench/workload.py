"""The container that is moved: how it is made on a host, and what it says of itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.lab import Lab

IMAGE = "counter"
READY_SECONDS = 180.0  # filling 4 GiB on a busy machine takes its time
TICKS_BEFORE_A_MOVE = 50
POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class State:
    """One line of the counting program: times in seconds, ``time`` since the epoch."""

    counter: int
    time: float
    largest_gap: float
    intact: bool
    boot_id: str


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A running container of one run."""

    lab: Lab
    name: str
    before: State

    @classmethod
    def start(cls, lab: Lab, name: str, memory_mib: int, *, churn: int = 0) -> Workload:
        """Start it on host a and wait until its memory is filled and it counts.

        ``churn`` of a thousand pages are rewritten at random in each ten seconds.
        """
        settings = ("-e", f"MEMORY_MIB={memory_mib}", "-e", f"CHURN={churn}")
        lab.call("enter", "a", "--", "podman", "run", "-d", "--name", name, *settings, IMAGE)
        return cls(lab=lab, name=name, before=_await(lab, "a", name, ticks=TICKS_BEFORE_A_MOVE))

    def downtime(self, moved_at: float) -> float:
        """Seconds that it stood still, as it saw them itself; it must run on b, its memory whole.

        ``moved_at`` is when the move was over, in seconds since the epoch.
        """
        after = _await(self.lab, "b", self.name, later_than=moved_at)
        same = after.boot_id == self.before.boot_id and after.counter > self.before.counter
        if not (same and after.intact and after.largest_gap > self.before.largest_gap):
            raise AssertionError(f"{self.name} on b is not what ran on a: {after}")
        return after.largest_gap

    def remove(self) -> None:
        """Remove it from both hosts."""
        for host in ("a", "b"):
            self.lab.call(
                "enter", host, "--", "podman", "rm", "--force", "--ignore", "--time=0", self.name
            )


def _await(lab: Lab, host: str, name: str, *, ticks: int = 1, later_than: float = 0.0) -> State:
    limit = time.monotonic() + READY_SECONDS
    while True:
        done = lab.enter(host, "podman", "exec", name, "cat", "/state/now")
        fields = done.stdout.split()
        if done.returncode == 0 and len(fields) == 5:
            state = _parse(fields)
            if state.counter >= ticks and state.time > later_than:
                return state
        if time.monotonic() > limit:
            raise AssertionError(f"{name} on {host} does not count: {done.stderr or done.stdout}")
        time.sleep(POLL_SECONDS)


def _parse(fields: list[str]) -> State:
    counter, moment, gap, intact, boot_id = fields
    return State(
        counter=int(counter),
        time=float(moment),
        largest_gap=float(gap),
        intact=intact == "1",
        boot_id=boot_id,
    )
