"""Remove the copy that must not stay: the source's after the move, the target's before a resume."""

from __future__ import annotations

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from runtime import ContainerState, RuntimeEngineError
from tasks.errors import NotMovableError
from tasks.facts import workload_facts
from tasks.step import Result, Step
from tasks.units.engine import engine, lookup, remove_copy

ATTEMPTS = 5


def finish(step: Step) -> Result:
    """Remove the source's stopped container and the volumes that moved with it."""
    runtime, facts = engine(step), workload_facts(step.workflow)

    def remove() -> tuple[str, ...]:
        info = lookup(runtime, facts.container_id)
        if info is not None and info.state is ContainerState.RUNNING:
            raise NotMovableError(facts.name, "the source's copy runs again; stop one of the two")
        step.fence()
        return remove_copy(runtime, facts.container_id, facts.volumes)

    return {"volumes_kept": list(_tries()(remove))}


def discard(step: Step) -> Result:
    """Make sure that the target holds no copy, so that the source's may run again."""
    runtime, facts = engine(step), workload_facts(step.workflow)

    def remove() -> None:
        step.fence()
        remove_copy(runtime, facts.name, facts.volumes)

    _tries()(remove)
    return {}


def _tries() -> Retrying:
    return Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(initial=1, max=10),
        retry=retry_if_exception_type(RuntimeEngineError),
        reraise=True,
    )
