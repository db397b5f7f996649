"""A network of a test's own, where a link may be slow."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab import missing

_CLONE_NEWNET = 0x40000000  # linux/sched.h


@contextlib.contextmanager
def network_with_a_slow_loopback(rate: str) -> Iterator[None]:
    """This thread, and what it starts, in a network namespace whose loopback is so slow.

    `rate` is spelled as tc does. The namespace has no name: it is gone with its last process.
    """
    if os.geteuid() != 0:
        missing("a network namespace needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            # an ordinary packet size: the loopback's 64 KiB are more than the bucket holds
            _run("ip", "link", "set", "lo", "mtu", "1500", "up")
            limit = ("rate", rate, "burst", "32kb", "latency", "50ms")
            _run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", *limit)
            yield
        finally:
            libc.setns(home.fileno(), _CLONE_NEWNET)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
