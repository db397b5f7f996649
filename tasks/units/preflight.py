"""Look before anything is touched: what has to move, and whether the target can take it."""

from __future__ import annotations

from runtime import (
    CanaryState,
    CheckpointRuntime,
    ContainerFacts,
    ContainerInfo,
    Finding,
    HostFacts,
    Severity,
    blockers,
    move_findings,
    source_findings,
)
from tasks.errors import NotMovableError
from tasks.facts import TargetCheck, WorkloadFacts, workload_facts
from tasks.models import Kind
from tasks.step import Result, Step
from tasks.units.engine import engine, health_check


def describe(step: Step) -> Result:
    """Describe the source's container; refuse one that cannot be checkpointed or moved.

    The store is asked too, here and on the target: once the container is stopped, a store that is
    away costs downtime.
    """
    runtime = engine(step)
    info = runtime.inspect(step.workflow.workload)
    health_check(info.name, info.spec)  # a label that cannot be read is told now
    container = _with_fixed_addresses(runtime.container_facts(info.id), info)
    host = _with_name_and_canary(step, runtime, runtime.host_facts())
    moving = step.workflow.kind is not Kind.CHECKPOINT
    findings = source_findings(container, host, moving=moving)
    _judge(step, info.name, findings)
    facts = WorkloadFacts.of(
        info, runtime.image(info.image_id), container=container, host=host, findings=findings
    )
    for loss in runtime.unkept(info.id):
        step.log(f"not kept: {loss}")
    step.context.archives.check()
    return facts.model_dump(mode="json")


def preflight(step: Step) -> Result:
    """Refuse a target that could only fail after the source was stopped."""
    runtime = engine(step)
    runtime.ping()
    facts, archives = workload_facts(step.workflow), step.context.archives
    archives.check()
    target = runtime.target_facts(facts.container)
    target = target.model_copy(
        update={
            "host": _with_name_and_canary(step, runtime, target.host),
            "image_archived": archives.image(facts.image_id) is not None,
        }
    )
    findings = move_findings(facts.container, facts.host, target)
    _judge(step, facts.name, findings)
    present = target.image_id == facts.image_id
    return TargetCheck(image_present=present, findings=findings).model_dump(mode="json")


def _judge(step: Step, container: str, findings: tuple[Finding, ...]) -> None:
    """Log the warnings; raise NotMovableError for blockers, unless findings are all that is asked.

    A blocker ends the step with its own message, so no warning stands beside it in the log.
    """
    if step.workflow.kind is Kind.PREFLIGHT:
        return
    if blockers(findings):
        raise NotMovableError.of(container, findings)
    for finding in findings:
        step.log(f"{Severity.WARNING}: {finding.message}")


def _with_fixed_addresses(container: ContainerFacts, info: ContainerInfo) -> ContainerFacts:
    """Add whether somebody asked for the container's addresses, which its spec tells."""
    fixed = {network.name for network in info.spec.networks if network.fixed}
    networks = tuple(
        joined.model_copy(update={"fixed": joined.network.name in fixed})
        for joined in container.networks
    )
    return container.model_copy(update={"networks": networks})


def _with_name_and_canary(step: Step, runtime: CheckpointRuntime, host: HostFacts) -> HostFacts:
    """Add what the engine cannot say.

    The canary is what the worker last kept of it; one that failed is tried again before it
    refuses a move.
    """
    name, registry = step.record.host, step.context.registry
    found = registry.canary(name) if registry is not None else host.canary
    if step.workflow.options.canary or found.state is CanaryState.FAILED:
        found = runtime.canary()
        if registry is not None:
            registry.report_canary(name, found)
    return host.model_copy(update={"host": name, "canary": found})
