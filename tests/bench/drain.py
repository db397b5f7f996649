"""A host of many containers is emptied: by a drain, and by a script, one after another."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from podferry import Drain, DrainResult
from tasks.models import AT_ONCE
from tests.bench.machine import cpu_seconds
from tests.bench.moves import MODULE, PODFERRY, by_hand, ours, podferry, rest_moves, tidy
from tests.bench.progress import say
from tests.bench.records import Drained, Noticed
from tests.bench.workload import Workload
from tests.lab import Lab, counter_context, lab

HOSTS = ("a", "b", "c", "d")
MIXED_MIB = (8, 8, 64, 8, 16, 128, 8, 32, 256, 8, 16, 512)
WARM_UP_MIB = (8, 64, 256)  # what has left the host before: a drain learns from it
NOTICED_MIB = 64
NOTICE_SECONDS = 30
WAIT_SECONDS = 180.0

T = TypeVar("T")


@contextmanager
def four_hosts() -> Iterator[tuple[Lab, Path]]:
    """A lab of four hosts with the image on a, and the file that is a notice for host a."""
    with tempfile.TemporaryDirectory(prefix="pf-notice-", dir="/tmp") as name:
        notice, asked = Path(name, "notice"), Path(name, "asked")
        asked.write_text(f'#!/bin/sh\n[ "$PODFERRY_HOST" = a ] && cat {notice} 2>/dev/null\n')
        asked.chmod(0o755)
        settings = {**os.environ, "PODFERRY_NOTICES": f"command:{asked}"}
        with lab(HOSTS, minio="yes") as made, counter_context() as context:
            with patch.dict("os.environ", settings):
                made.call("workers", "start")
            podferry(made, "build", str(context), "--tag", "counter", "--host", "a")
            yield made, notice


def measure(made: Lab, containers: int) -> Drained:
    """Drain a host of so many containers, and move as many by the script."""
    sizes = tuple(islice(cycle(MIXED_MIB), containers))
    for size in WARM_UP_MIB:
        first = Workload.start(made, f"first-{size}", size)
        ours(first)
        tidy(made, first)
    begun = _begun(made, sizes)
    planned = _drain(made, "--dry-run")
    done, took, took_cpu = _worked(partial(_drain, made))
    assert done.result is DrainResult.DRAINED, f"the host was not emptied: {done}"
    say(f"drain of {containers}: expected {planned.estimate:.1f} s, took {took:.1f} s")
    _forget(made, begun)
    begun = _begun(made, sizes)
    targets = {workload.name: host for workload, host in zip(begun, cycle(HOSTS[1:]), strict=False)}
    _, rest, rest_cpu = _worked(partial(rest_moves, made, targets))
    say(f"{AT_ONCE} at a time by bare REST calls: {rest:.1f} s")
    _forget(made, begun)
    by_script = [_by_hand(made, number, size) for number, size in enumerate(sizes)]
    script = sum(seconds for seconds, _ in by_script)
    say(f"one after another by the script: {script:.1f} s")
    return Drained(
        containers=containers,
        mib=sum(sizes),
        expected=planned.estimate,
        took=took,
        rest=rest,
        script=script,
        took_cpu=took_cpu,
        rest_cpu=rest_cpu,
        script_cpu=sum(worked for _, worked in by_script),
    )


def notice(made: Lab, file: Path, containers: int) -> Noticed:
    """Give a host notice; measure until the last archive is in the store, and until all runs."""
    begun = [Workload.start(made, f"noticed-{n}", NOTICED_MIB) for n in range(containers)]
    asked = time.time()
    ready = file.with_suffix(".new")
    ready.write_text(f"{NOTICE_SECONDS}\n")
    ready.rename(file)
    drain = _ended(made, asked)
    file.unlink()
    stored = [_stored(made, item.workflow_id) for item in drain.items]
    _forget(made, begun)
    ended = max(item.ended.timestamp() for item in drain.items if item.ended)
    kept = sum(item.outcome == "moved" for item in drain.items)
    found = Noticed(
        containers=containers,
        mib=NOTICED_MIB,
        notice=NOTICE_SECONDS,
        stored=max(stored) - asked,
        healthy=ended - asked,
        kept=kept,
    )
    say(f"notice: last archive stored after {found.stored:.1f} s, {kept} kept their memory")
    return found


def _begun(made: Lab, sizes: Sequence[int]) -> list[Workload]:
    begun = [Workload.start(made, f"many-{n}", size) for n, size in enumerate(sizes)]
    os.sync()  # or what follows shares the disk with what their images wrote
    return begun


def _worked(act: Callable[[], T]) -> tuple[T, float, float]:
    """What it returns, its seconds, and the machine's CPU seconds meanwhile."""
    began, worked = time.monotonic(), cpu_seconds()
    found = act()
    return found, time.monotonic() - began, cpu_seconds() - worked


def _by_hand(made: Lab, number: int, size: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, of one container's move by the script."""
    workload = Workload.start(made, f"script-{number}", size)
    move, _, worked = _worked(partial(by_hand, "zstd", workload))
    tidy(made, workload)
    return move.total, worked


def _drain(made: Lab, *options: str) -> Drain:
    done = made.call("exec", "hub", "--", str(PODFERRY), "drain", "a", *options, "-o", "json")
    return Drain.model_validate_json(done.stdout)


def _ended(made: Lab, asked: float) -> Drain:
    """The drain that the notice began, when it is over."""
    limit = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < limit:
        done = made.call("exec", "hub", "--", str(PODFERRY), "drains", "-o", "json")
        found = [Drain.model_validate(drain) for drain in json.loads(done.stdout)]
        over = [d for d in found if d.ended is not None and d.created.timestamp() > asked]
        if over:
            return over[0]
        time.sleep(0.2)
    raise AssertionError("the notice began no drain that ended")


def _stored(made: Lab, workflow_id: str) -> float:
    """When a move's checkpoint was complete in the store, in seconds since the epoch."""
    done = made.call("exec", "hub", "--", str(PODFERRY), "status", workflow_id, "-o", "json")
    steps = json.loads(done.stdout)["steps"]
    ended = [step["ended"] for step in steps if step["unit"] == "checkpoint" and step["ended"]]
    return max(datetime.fromisoformat(text).timestamp() for text in ended)


def _forget(made: Lab, workloads: Sequence[Workload]) -> None:
    """Remove the containers wherever they are, and let host a take others again."""
    for host in HOSTS:
        names = [workload.name for workload in workloads]
        made.call("enter", host, "--", "podman", "rm", "--force", "--ignore", "--time=0", *names)
    made.call("exec", "hub", "--", str(PODFERRY), "uncordon", "a")
    made.call("exec", "hub", "--", *MODULE, "tests.bench.objects", "clear")
