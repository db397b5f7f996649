"""Run the sections one after another, in a lab of their own."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import codec, drain, incremental, memory, transfer
from tests.bench.claims import SCRIPT
from tests.bench.files import directory
from tests.bench.link import held_to
from tests.bench.machine import machine
from tests.bench.moves import MODULE, MOVERS, Mover, compare, ours, podferry, tidy
from tests.bench.progress import say
from tests.bench.records import OURS, Machine, Moves, Preseed, Report, Works
from tests.bench.s3_tools import mc_environment, store_of
from tests.bench.timing import timed
from tests.bench.workload import Workload
from tests.lab import Lab, counter_context, lab
from tests.services import cached_program

HOSTS = ("a", "b")
SECTIONS = ("transfer", "codec", "moves", "incremental", "preseed", "memory", "drain")
OWN_LAB = {"codec", "drain"}  # sections that need none, or another one
WARM_UP_MIB = 16
ENTRIES = 5
LINK_MBIT = 200
# While 1 GiB is sent ahead at this rate, for a minute and a half, a twentieth of it changes.
PRESEED_CHURN = 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: ``sizes`` maps MiB to the number of runs; the other sizes are MiB too."""

    sections: frozenset[str]
    sizes: dict[int, int]
    memory_sizes: tuple[int, ...]
    incremental_mib: int
    incremental_runs: int
    preseed_mib: int
    preseed_runs: int
    drained: int  # containers; none: no drain
    noticed: int


def run(plan: Plan) -> Report:
    """Measure everything; return the report."""
    with ExitStack() as stack:
        made = stack.enter_context(_prepared()) if plan.sections - OWN_LAB else None
        found = _measured(plan, made, machine(made))
    if "drain" in plan.sections and plan.drained:
        with drain.four_hosts() as (four, file), _mc(four):
            found["drain"] = drain.measure(four, plan.drained)
            found["notice"] = drain.notice(four, file, plan.noticed)
    return Report.model_validate(found)


def _measured(plan: Plan, made: Lab | None, where: Machine) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": where, "skipped": {}}
    if "codec" in plan.sections:
        found["codec"] = {mib: codec.measure(mib, runs) for mib, runs in plan.sizes.items()}
    if made is None:
        return found
    if "transfer" in plan.sections:
        found["transfer"] = {mib: _transfer(made, mib, runs) for mib, runs in plan.sizes.items()}
    if "moves" in plan.sections:
        sizes = {mib: compare(made, mib, runs, MOVERS) for mib, runs in plan.sizes.items()}
        found["moves"] = Moves(entry=_entry(made), sizes=sizes)
    if "memory" in plan.sections:
        found["memory"] = memory.watch(made, plan.memory_sizes)
    for name, command, option, measure in (
        ("incremental", "checkpoint", "--incremental", _incremental),
        ("preseed", "migrate", "--preseed", _preseed),
    ):
        if name in plan.sections and incremental.has_option(command, option):
            found[name] = measure(made, plan)
        elif name in plan.sections:
            found["skipped"][name] = f"podferry {command} has no {option}"
            say(f"{name}: skipped, {found['skipped'][name]}")
    return found


@contextmanager
def _prepared() -> Iterator[Lab]:
    """A lab with workers and, by a first small move, the image on both hosts."""
    cached_program("mc")  # or say at once that it is missing
    say("two Podman hosts, a hub with MinIO, three workers; a first move carries the image")
    with lab(HOSTS, minio="yes") as made, counter_context() as context, _mc(made):
        say(f"lab: {made.dir}")
        made.call("workers", "start")
        podferry(made, "build", str(context), "--tag", "counter", "--host", "a")
        first = Workload.start(made, "warm-up", WARM_UP_MIB)
        ours(first)
        tidy(made, first)
        yield made


@contextmanager
def _mc(made: Lab) -> Iterator[None]:
    """Let mc know the lab's store, here and in all that is started from here."""
    with tempfile.TemporaryDirectory(prefix="pf-mc-") as config:
        names = mc_environment(store_of(made), Path(config))
        os.environ.update(names)
        try:
            yield
        finally:
            for name in names:
                del os.environ[name]


def _transfer(made: Lab, mib: int, runs: int) -> Works:
    with directory(2 * mib) as place:
        words = (*MODULE, "tests.bench.transfer", str(place), str(mib), str(runs))
        command = made.command("exec", "a", "--", *words)
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    assert done.returncode == 0, f"the transfers of {mib} MiB failed"
    return transfer.WORKS.validate_json(done.stdout)


def _entry(made: Lab) -> float:
    """What entering a host costs by itself: once for podferry, five times for the script."""
    return statistics.median(timed(made.call, "enter", "a", "--", "true") for _ in range(ENTRIES))


def _incremental(made: Lab, plan: Plan) -> object:
    return incremental.measure(made, plan.incremental_mib, plan.incremental_runs)


def _preseed(made: Lab, plan: Plan) -> Preseed:
    script = f"{SCRIPT}, zstd"
    movers: dict[str, Mover] = {
        OURS: lambda workload: ours(workload, "--preseed"),
        script: MOVERS[script],
    }
    mib, runs = plan.preseed_mib, plan.preseed_runs
    with held_to(made, LINK_MBIT, HOSTS):
        moves = compare(made, mib, runs, movers, churn=PRESEED_CHURN, what="preseed")
    return Preseed(mib=mib, link_mbit=LINK_MBIT, moves=moves)
