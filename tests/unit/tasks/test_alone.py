"""Who sleeps keeps others out until it has gone on, or died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.alone import alone_with

HOLDER = """
import sys, time
from pathlib import Path
from tasks.alone import alone_with
with alone_with(sys.argv[2:], Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    time.sleep(3600)
"""


class TiredError(Exception):
    """Raised by who waits for too long."""


def tired() -> None:
    raise TiredError


@contextmanager
def holder(directory: Path, *names: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the locks of these containers."""
    words = [sys.executable, "-c", HOLDER, str(directory), *names]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_others_are_kept_out_even_by_one_that_sleeps(tmp_path: Path) -> None:
    with holder(tmp_path, "web", "db") as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(TiredError), alone_with(["db"], tmp_path, tired):
            pass
        with alone_with(["cache"], tmp_path, tired):
            pass


def test_the_dead_keep_nobody_out(tmp_path: Path) -> None:
    with holder(tmp_path, "web") as process:
        waits: list[int] = []

        def wait() -> None:
            waits.append(1)
            process.kill()

        with alone_with(["web"], tmp_path, wait):
            assert waits


def test_locks_are_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_with(["web", "db"], tmp_path, tired):
            pass
