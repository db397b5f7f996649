"""Remove the copy that must not stay: the source's after the move, the target's before a resume."""

from __future__ import annotations

from contextlib import suppress

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from runtime import (
    CheckpointRuntime,
    ContainerState,
    NetworkInUseError,
    NetworkNotFoundError,
    RuntimeEngineError,
)
from tasks.errors import NotMovableError
from tasks.facts import SourceFacts, copy_of, source_facts
from tasks.groups import PROJECT_LABEL
from tasks.models import GroupKind, Workflow
from tasks.step import Result, Step
from tasks.units.engine import engine, lookup, remove_copies

ATTEMPTS = 5


def finish(step: Step) -> Result:
    """Remove the source's stopped containers and the volumes that moved with them."""
    runtime, source = engine(step), source_facts(step.workflow)
    step.await_earlier()  # the checkpoint may still be putting its things away

    def remove() -> tuple[str, ...]:
        for member in source.members:
            info = lookup(runtime, member.id)
            if info is not None and info.state is ContainerState.RUNNING:
                reason = "the source's copy runs again; stop one of the two"
                raise NotMovableError(member.name, reason)
        step.fence()
        kept = remove_copies(
            runtime, [m.id for m in source.members], source.volumes, pod=_pod(source)
        )
        _remove_networks(runtime, step.workflow, source)
        return kept

    return {"volumes_kept": list(_tries()(remove))}


def discard(step: Step) -> Result:
    """Make sure that the target holds no copy, so that another may run."""
    runtime, parts = engine(step), copy_of(step.workflow)

    def remove() -> None:
        step.fence()
        remove_copies(runtime, parts.containers, parts.volumes, pod=parts.pod)

    _tries()(remove)
    step.note(touched=None, permit=None)
    return {}


def _remove_networks(runtime: CheckpointRuntime, workflow: Workflow, source: SourceFacts) -> None:
    """A project's networks go with it, those that nothing else uses."""
    if workflow.group is not GroupKind.PROJECT:
        return
    joined = (network for member in source.members for network in member.container.networks)
    for name in {attachment.network.name for attachment in joined}:
        with suppress(NetworkInUseError, NetworkNotFoundError):
            if runtime.network(name).labels.get(PROJECT_LABEL) == workflow.workload:
                runtime.remove_network(name)


def _pod(source: SourceFacts) -> str:
    return source.pod.name if source.pod else ""


def _tries() -> Retrying:
    return Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(initial=1, max=10),
        retry=retry_if_exception_type(RuntimeEngineError),
        reraise=True,
    )
