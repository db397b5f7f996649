"""Links of a lab that are held to a rate."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.lab import Lab

# A bucket that holds what veth carries at once; the queue is what a home router would have.
BUCKET = ("burst", "256kb", "latency", "50ms")


@contextmanager
def held_to(lab: Lab, mbit: int, hosts: Sequence[str]) -> Iterator[None]:
    """So many Mbit/s to and from each of these hosts, for whoever talks to whom."""
    state = lab.state
    ends = [(f"pf-{state['id']}-switch", f"veth-{host}") for host in hosts]
    ends += [(state["hosts"][host]["netns"], "eth0") for host in hosts]
    try:
        for end in ends:
            _tc(*end, "replace", "tbf", "rate", f"{mbit}mbit", *BUCKET)
        yield
    finally:
        for netns, device in ends:
            _tc(netns, device, "delete")


def _tc(netns: str, device: str, verb: str, *what: str) -> None:
    command = ["tc", "-n", netns, "qdisc", verb, "dev", device, "root", *what]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
