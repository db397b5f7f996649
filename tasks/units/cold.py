"""Stop a workload without keeping its memory: to start it anew elsewhere, or to leave it so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from runtime import CheckpointRuntime, CheckpointStream, ColdSpec, RestartPolicy
from tasks.facts import MemberFacts, SourceFacts, source_facts
from tasks.models import now
from tasks.step import Result, Step
from tasks.units.engine import engine

PATIENCE_SECONDS = 10  # the engines' own, for a container that was made without any


@contextmanager
def halted(
    step: Step, runtime: CheckpointRuntime, source: SourceFacts
) -> Iterator[dict[str, CheckpointStream]]:
    """Stop the containers, who depends on others first; the archive of each waits to be read.

    Who carries a shared volume comes last: its archive then holds what the others wrote last.
    """
    with ExitStack() as stack:
        copies = {}
        for member in reversed(source.members):
            step.fence()  # the one before may have taken long to end
            spec = ColdSpec(
                stop_timeout_seconds=patience(step, runtime, member),
                ignore_volumes=bool(member.carrier),
            )
            copies[member.name] = stack.enter_context(runtime.cold_copy(member.id, spec))
        yield copies


def stop(step: Step) -> Result:
    """Stop the containers where they are; their restart policies, switched off, are recorded."""
    runtime, source = engine(step), source_facts(step.workflow)
    step.note(source_stopped=True)
    for member in source.members:
        runtime.update_restart_policy(member.id, RestartPolicy())
    for member in reversed(source.members):
        step.fence()
        runtime.stop(member.id, timeout_seconds=patience(step, runtime, member))
    return {}


def patience(step: Step, runtime: CheckpointRuntime, member: MemberFacts) -> int:
    """Seconds that a container may take to end: its own, but half of what is left at most."""
    left = max(0, int((step.workflow.deadline - now()).total_seconds() / 2))
    own = runtime.inspect(member.id).spec.stop_timeout_seconds
    own = PATIENCE_SECONDS if own is None else own
    return left if own < 0 else min(own, left)
