"""One row of the matrix, tried on real hosts, and what is found afterwards."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from podferry import BrokerUnavailableError, Outcome, Unit, Workflow
from podferry import State as WorkflowState
from runtime import ContainerState, RestartPolicy
from tests.chaos.accidents import Breakpoint, cause
from tests.chaos.rows import Row, Way
from tests.fleet import HOSTS, IMAGE, Fleet, State, Workload, eventually

MEMORY_MIB = 16
DEADLINE_SECONDS = 240
PATIENCE_SECONDS = 120.0  # past the deadline: the way back takes its time too
REACHED_SECONDS = 90.0
OPTIONS = {
    Way.STRAIGHT: ("--no-preseed",),
    Way.SENT_AHEAD: ("--preseed",),
    Way.COLD: ("--no-preseed", "--fallback", "cold"),
    Way.BACK: ("--no-preseed", "--fallback", "resume"),
}
WITHOUT_RESTORE = {Way.COLD, Way.BACK}
CARRYING = {Unit.PUSH_IMAGE, Unit.PULL_IMAGE}
POLICY = RestartPolicy(name="always")
STORED = """
import sys
from workers.settings import load_settings
objects = load_settings().archives().objects
print("\\n".join(info.key for info in objects.list(f"checkpoints/{sys.argv[1]}/")))
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a row; ``wrong`` says what is not as promised, nothing if all is."""

    row: Row
    outcome: str
    tries: int
    seconds: float
    wrong: tuple[str, ...]


def tried(fleet: Fleet, row: Row, directory: Path) -> Trial:
    """Move a container from a to b, let the accident happen, and look what is left of it."""
    workload = Workload(fleet, "row")
    began = time.monotonic()
    with _cleaned_up(workload):
        before = workload.start(
            workload.spec(
                memory_mib=MEMORY_MIB, volume=True, restart=POLICY, image=_image(fleet, row)
            )
        )
        workflow = _through_it(fleet, workload, row, directory)
        wrong = tuple(_wrong(fleet, workload, workflow, before))
    return Trial(
        row=row,
        outcome=str(workflow.outcome or workflow.state),
        tries=workflow.epoch,
        seconds=time.monotonic() - began,
        wrong=wrong,
    )


def _through_it(fleet: Fleet, workload: Workload, row: Row, directory: Path) -> Workflow:
    stop = Breakpoint(directory, row.host, f"{row.unit}:{row.point}")
    words = ("--to", "b", "--deadline", str(DEADLINE_SECONDS), *OPTIONS[row.way])
    with ExitStack() as stack:
        if row.way in WITHOUT_RESTORE:
            stack.enter_context(fleet.without_criu("b"))
        stack.enter_context(stop.armed())
        submitted = fleet.workflow("migrate", workload.name, *words, "--detach")
        eventually(stop.reached, f"{row.name} is not reached", seconds=REACHED_SECONDS)
        cause(row.accident, fleet, row.host, stop)
        return _ended(fleet, submitted.id)


def _ended(fleet: Fleet, workflow_id: str) -> Workflow:
    """The record at the end of the workflow, or as it is when patience is over."""
    limit = time.monotonic() + DEADLINE_SECONDS + PATIENCE_SECONDS
    while True:
        try:
            workflow = fleet.client.status(workflow_id)
            if workflow.state is WorkflowState.ENDED or time.monotonic() > limit:
                return workflow
        except BrokerUnavailableError:
            assert time.monotonic() < limit
        time.sleep(0.1)


def _wrong(fleet: Fleet, workload: Workload, workflow: Workflow, before: State) -> Iterator[str]:
    if workflow.state is not WorkflowState.ENDED:
        yield "it has not ended"
        return
    running = _running(workload)
    if not running and workflow.outcome is Outcome.FAILED:
        yield from _comes_back(fleet, workload, workflow)
        running = _running(workload)
    if len(running) != 1:
        yield f"it runs on {' and '.join(running) or 'no host'}"
        return
    yield from _misplaced(workload, workflow, running[0])
    state = workload.counting(running[0])
    if workflow.outcome is not Outcome.COLD and not before.lives_on_in(state):
        yield f"its memory is not what it was: {before} became {state}"
    yield from _left_over(fleet, workload)


def _comes_back(fleet: Fleet, workload: Workload, workflow: Workflow) -> Iterator[str]:
    """A failure names the command that brings it back."""
    words = workflow.next_command.split()
    if words[:2] != ["podferry", "resume"]:
        yield f"it failed, and {workflow.next_command!r} is all that is said"
        return
    done = fleet.run(*words[1:])
    if done.returncode not in {0, 3}:
        yield f"it does not come back: {done.stderr}"


def _misplaced(workload: Workload, workflow: Workflow, host: str) -> Iterator[str]:
    expected = {Outcome.MOVED: {"b"}, Outcome.COLD: {"a", "b"}}.get(
        workflow.outcome or Outcome.FAILED, {"a"}
    )
    if host not in expected:
        yield f"it is on {host}, and the record says {workflow.outcome}"
    found = workload.on(host)
    if found is None or found.spec.restart != POLICY:
        yield f"its restart policy on {host} is lost"
    [other] = set(HOSTS) - {host}
    if not workload.absent(other):
        yield f"something of it is left on {other}"


def _left_over(fleet: Fleet, workload: Workload) -> Iterator[str]:
    """After a prune, the store holds complete checkpoints of it and nothing else."""
    done = fleet.run("checkpoints", "prune")
    if done.returncode:
        yield f"prune: {done.stderr}"
    whole = tuple(f"checkpoints/{found['id']}/" for found in fleet.checkpoints(workload.name))
    keys = fleet.python(STORED, workload.name).split()
    if strays := [key for key in keys if not key.startswith(whole)]:
        yield f"left in the store: {', '.join(strays)}"


def _running(workload: Workload) -> list[str]:
    found = ((host, workload.on(host)) for host in HOSTS)
    return [host for host, info in found if info and info.state is ContainerState.RUNNING]


def _image(fleet: Fleet, row: Row) -> str:
    """An image that the target has, unless the row is about carrying one."""
    if row.unit not in CARRYING:
        return IMAGE
    name = f"localhost/row-{secrets.token_hex(3)}"
    script = f"printf 'FROM {IMAGE}\\nLABEL row={name}\\n' | podman build --quiet -t {name} -"
    fleet.lab.call("enter", "a", "--", "sh", "-c", script)
    return f"{name}:latest"


@contextmanager
def _cleaned_up(workload: Workload) -> Iterator[None]:
    try:
        yield
    finally:
        workload.forget()
