"""What a second checkpoint of a container costs, of whose memory a part has changed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.moves import MIB, MODULE, PODFERRY, podferry
from tests.bench.progress import say
from tests.bench.records import Incremental
from tests.lab import ROOT, Lab, counter_context

NAME = IMAGE = "dirtying"
SOURCE = ROOT / "tests" / "integration" / "dirtying.c"
PER_THOUSAND = 50
WAIT_SECONDS = 300.0
CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY dirtying /bin/dirtying
"""


def has_option(command: str, option: str) -> bool:
    """Whether this podferry knows an option."""
    done = subprocess.run(
        [str(PODFERRY), command, "--help"], check=True, capture_output=True, text=True
    )
    return option in done.stdout


def measure(lab: Lab, mib: int, runs: int) -> Incremental:
    """Bytes in the store after two checkpoints, of a new container each time."""
    with _context() as context:
        podferry(lab, "build", str(context), "--tag", IMAGE, "--host", "a")
    pairs = []
    for number in range(1, runs + 1):
        pairs.append(_pair(lab, mib))
        first, second = pairs[-1]
        say(f"incremental, {mib} MiB, run {number} of {runs}: {first:.1f} MiB, {second:.1f} MiB")
    return Incremental(
        mib=mib,
        changed=PER_THOUSAND / 1000,
        first_mib=tuple(first for first, _ in pairs),
        second_mib=tuple(second for _, second in pairs),
    )


def _pair(lab: Lab, mib: int) -> tuple[float, float]:
    size = ("dirtying", str(mib), str(PER_THOUSAND))
    lab.call("enter", "a", "--", "podman", "run", "-d", "--name", NAME, IMAGE, *size)
    try:
        _await_rounds(lab, 0)
        podferry(lab, "checkpoint", NAME, "--incremental")
        first = _stored(lab)
        lab.call("enter", "a", "--", "podman", "kill", "--signal=USR1", NAME)
        _await_rounds(lab, 1)
        podferry(lab, "checkpoint", NAME, "--incremental")
        return first / MIB, (_stored(lab) - first) / MIB
    finally:
        lab.call("enter", "a", "--", "podman", "rm", "--force", "--time=0", NAME)
        lab.call("exec", "hub", "--", *MODULE, "tests.bench.objects", "clear")


def _stored(lab: Lab) -> int:
    words = (*MODULE, "tests.bench.objects", "bytes", f"checkpoints/{NAME}/")
    return int(lab.call("exec", "hub", "--", *words).stdout)


def _await_rounds(lab: Lab, rounds: int) -> None:
    """Return once its memory has been rewritten so many times, and it says so."""
    limit = time.monotonic() + WAIT_SECONDS
    while True:
        words = lab.enter("a", "podman", "exec", NAME, "cat", "/state").stdout.split()
        if len(words) == 2 and int(words[0]) == rounds:
            return
        if time.monotonic() > limit:
            raise AssertionError(f"{NAME} was not rewritten {rounds} times: {words}")
        time.sleep(0.2)


@contextmanager
def _context() -> Iterator[Path]:
    with counter_context() as counter, tempfile.TemporaryDirectory(prefix="pf-") as name:
        context = Path(name)
        shutil.copy2(counter / "busybox", context)
        program = str(context / "dirtying")
        subprocess.run(["gcc", "-static", "-O2", "-o", program, str(SOURCE)], check=True)
        (context / "Containerfile").write_text(CONTAINERFILE)
        yield context
