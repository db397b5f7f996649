"""Look before anything is touched: what has to move, and whether the target can take it."""

from __future__ import annotations

from runtime import ContainerState
from tasks.errors import NotMovableError
from tasks.facts import TargetFacts, WorkloadFacts, workload_facts
from tasks.models import Kind
from tasks.step import Result, Step
from tasks.units.engine import engine, image_present, lookup


def describe(step: Step) -> Result:
    """Describe the source's container; refuse one that cannot be moved.

    The store is asked too, here and on the target: once the container is stopped, a store that is
    away costs downtime.
    """
    runtime = engine(step)
    info = runtime.inspect(step.workflow.workload)
    if info.state is not ContainerState.RUNNING:
        raise NotMovableError(
            info.name, f"it is {info.state}, and only a running container has memory to move"
        )
    if info.auto_remove:
        raise NotMovableError(info.name, "it was made with --rm, so its checkpoint would vanish")
    if info.dependencies:
        raise NotMovableError(info.name, f"it depends on {', '.join(info.dependencies)}")
    facts = WorkloadFacts.of(info, runtime.image(info.image_id))
    for loss in runtime.unkept(info.id):
        step.log(f"not kept: {loss}")
    step.context.archives.check()
    if step.workflow.kind is Kind.MIGRATE:
        _refuse_shared_volumes(step, facts)
    return facts.model_dump(mode="json")


def preflight(step: Step) -> Result:
    """Refuse a target that could only fail after the source was stopped."""
    runtime = engine(step)
    runtime.ping()
    facts = workload_facts(step.workflow)
    capabilities = runtime.capabilities()
    if not capabilities.checkpoint:
        raise NotMovableError(
            facts.name, f"{step.record.host} cannot restore: {capabilities.checkpoint_reason}"
        )
    if lookup(runtime, facts.name) or lookup(runtime, facts.container_id):
        raise NotMovableError(
            facts.name, f"{step.record.host} already has a container of that name"
        )
    for volume in facts.volumes:
        if runtime.volume_exists(volume):
            raise NotMovableError(
                facts.name,
                f"{step.record.host} already has a volume {volume!r}; remove or rename it",
            )
    step.context.archives.check()
    present = image_present(runtime, facts.image, facts.image_id)
    return TargetFacts(image_present=present).model_dump(mode="json")


def _refuse_shared_volumes(step: Step, facts: WorkloadFacts) -> None:
    """A volume that another container uses too would be torn in two by a move."""
    for volume in facts.volumes:
        others = set(engine(step).volume_users(volume)) - {facts.container_id}
        if others:
            raise NotMovableError(facts.name, f"volume {volume!r} is shared with another container")
