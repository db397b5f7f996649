"""A worker that stops at a breakpoint, where an accident from outside awaits it.

usage: worker.py PODFERRY-WORDS...

A file ``armed`` in ``$CHAOS_DIR/HOST`` names the breakpoint as ``UNIT:POINT``. Who comes to it
makes it the file ``reached``, and goes on when that is gone. All else is the product's own.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from podferry.cli.main import main
from runtime import Canary, CheckpointStream, PodmanRuntime
from storage import ArchiveStore
from tasks import step as steps
from tasks.models import Unit
from tasks.step import Result, Step

DIRECTORY = Path(os.environ["CHAOS_DIR"], os.environ.get("PODFERRY_HOST", "hub"))
LOOK_SECONDS = 0.02
CALLS = {
    PodmanRuntime: (
        "container_facts",
        "target_facts",
        "load_image",
        "remove",
        "restore",
        "restore_in_place",
        "run",
        "start",
    ),
    ArchiveStore: ("announce", "prefetch", "publish"),
}
STREAMS = {
    ArchiveStore: {"write_image": 3, "write_pages": 2},  # the place of the stream among arguments
    PodmanRuntime: {"restore": 1},
}
_under_way: list[Unit] = []  # a process works on one step at a time


def reach(point: str) -> None:
    """Stop here if this is the breakpoint, until the file is gone."""
    armed, reached = DIRECTORY / "armed", DIRECTORY / "reached"
    try:
        if not _under_way or armed.read_text() != f"{_under_way[0]}:{point}":
            return
        armed.rename(reached)
    except FileNotFoundError:  # nothing is armed, or another thread was here first
        return
    while reached.exists():
        time.sleep(LOOK_SECONDS)


def with_breakpoints(owner: type, name: str) -> None:
    """Stop before a method and after it."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def stopping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        reach(name)
        result = method(*args, **kwargs)
        reach(f"{name} done")
        return result

    setattr(owner, name, stopping)


def with_breakpoints_in_stream(owner: type, name: str, place: int) -> None:
    """Stop after the first piece of what a method reads, and at its end."""
    method = getattr(owner, name)

    def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for number, chunk in enumerate(chunks):
            yield chunk
            if number == 0:
                reach(f"{name} half")
        reach(f"{name} fed")

    @functools.wraps(method)
    def stopping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        return method(*args[:place], pieces(args[place]), *args[place + 1 :], **kwargs)

    setattr(owner, name, stopping)


def with_breakpoints_at_the_dump() -> None:
    """Stop before the engine dumps a container, and when it has."""
    method = PodmanRuntime.checkpoint

    @contextmanager
    def dumped(
        context: AbstractContextManager[CheckpointStream],
    ) -> Iterator[CheckpointStream]:
        reach("checkpoint")
        with context as stream:
            reach("checkpoint done")
            yield stream

    @functools.wraps(method)
    def stopping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        return dumped(method(*args, **kwargs))

    setattr(PodmanRuntime, "checkpoint", stopping)  # noqa: B010 - mypy forbids the assignment


def without_canary() -> None:
    """Prove nothing in the background: where a row takes CRIU away, its move would be refused."""

    def unproven(_runtime: PodmanRuntime) -> Canary:
        return Canary()

    setattr(PodmanRuntime, "canary", unproven)  # noqa: B010 - mypy forbids the assignment


def with_breakpoints_in_steps() -> None:
    """Stop when a step was entered, got the permit, has worked, and was committed."""
    claim, note, commit = steps._claim, Step.note, Step.commit

    def claiming(*args: Any) -> Step:  # noqa: ANN401 - as the function
        step = claim(*args)
        _under_way[:] = [step.record.unit]
        reach("claimed")
        return step

    def noting(step: Step, **fields: Any) -> None:  # noqa: ANN401 - as the method
        note(step, **fields)
        if fields.get("permit"):
            reach("permitted")

    def committing(step: Step, result: Result) -> None:
        reach("worked")
        commit(step, result)
        reach("committed")

    for owner, name, stopping in (
        (steps, "_claim", claiming),
        (Step, "note", noting),
        (Step, "commit", committing),
    ):
        setattr(owner, name, stopping)


if __name__ == "__main__":
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for owner, names in CALLS.items():
        for name in names:
            with_breakpoints(owner, name)
    for owner, streams in STREAMS.items():
        for name, place in streams.items():
            with_breakpoints_in_stream(owner, name, place)
    with_breakpoints_at_the_dump()
    with_breakpoints_in_steps()
    without_canary()
    main()
