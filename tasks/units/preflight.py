"""Look before anything is touched: what has to move, and whether the target can take it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runtime import (
    CanaryState,
    CheckpointRuntime,
    ContainerFacts,
    ContainerInfo,
    Finding,
    HostFacts,
    PodInfo,
    Severity,
    blockers,
    move_findings,
)
from tasks.errors import InvalidRequestError, NotMovableError
from tasks.facts import (
    MemberCheck,
    MemberFacts,
    SourceFacts,
    TargetCheck,
    named,
    pod_label,
    source_facts,
)
from tasks.groups import SharedVolumes, bring_back_order, shared_volumes
from tasks.ladder import parse_ladder
from tasks.models import Kind, Policy
from tasks.policies import POLICY_LABEL, policy_of
from tasks.step import Result, Step
from tasks.units.engine import engine, health_check
from tasks.units.findings import found_on_source
from tasks.units.members import members_of
from tasks.units.pods import pod_check, pod_facts, pod_of, without_pod

FALLBACK_LABEL = "podferry.fallback"
STORE_SECONDS = 10.0  # for which a store that was well is taken to be: a drain asks many times


def describe(step: Step) -> Result:
    """Describe the source's containers; refuse what cannot be checkpointed or moved.

    The store is asked too, here and on the target: once a container is stopped, a store that is
    away costs downtime.
    """
    runtime = engine(step)
    host = _with_name_and_canary(step, runtime, runtime.host_facts())
    infos = members_of(runtime, step.workflow)
    for info in infos:
        health_check(info.name, info.spec)  # a label that cannot be read is told now
    labels = (info.spec.labels.get(FALLBACK_LABEL) for info in infos)
    fallback = next((parse_ladder(label) for label in labels if label), ())
    shared = shared_volumes({info.name: info.volumes for info in infos})
    policy = policy_of(info.spec.labels for info in infos)
    _obey(step, policy)
    order = bring_back_order({i.name: i.spec.labels for i in infos}, shared.carriers)
    own_pod = pod_of(runtime, infos) if step.workflow.group is not None else None
    if own_pod is not None and step.workflow.options.cold:
        reason = f"nothing is started cold into a pod ({own_pod.spec.name!r})"
        raise NotMovableError(step.workflow.workload, reason)
    members = tuple(
        _member(step, info, host, shared, own_pod)
        for info in sorted(infos, key=lambda info: order.index(info.name))
    )
    pod = pod_facts(step, own_pod, [m.container for m in members]) if own_pod else None
    found = {pod_label(pod.name): pod.findings} if pod else {}
    _judge(step, found | {member.name: member.findings for member in members})
    if step.workflow.kind is not Kind.STOP:
        _tell_losses(step, infos)
        step.context.archives.check(within_seconds=STORE_SECONDS)
    source = SourceFacts(
        host=host,
        key_id=step.context.archives.key_id,
        members=members,
        pod=pod,
        fallback=fallback,
        policy=policy,
    )
    return source.model_dump(mode="json")


def _obey(step: Step, policy: Policy) -> None:
    """Move cold what wants to be, and refuse to where it does not want to be."""
    workflow = step.workflow
    if policy is Policy.LIVE and workflow.options.cold:
        raise InvalidRequestError(
            f"{workflow.workload!r} is never started cold, says its label {POLICY_LABEL}={policy}; "
            "move it without --cold, or make it anew without the label"
        )
    moves = workflow.kind in {Kind.MIGRATE, Kind.PREFLIGHT}
    if policy is Policy.COLD and moves and not workflow.options.cold:
        step.turn_cold()
        step.log(f"it moves cold, as its label {POLICY_LABEL}={policy} says")


def _tell_losses(step: Step, infos: Iterable[ContainerInfo]) -> None:
    for info in infos:
        for loss in engine(step).unkept(info.id):
            step.log(f"not kept: {loss}")


def preflight(step: Step) -> Result:
    """Refuse a target that could only fail after the source was stopped."""
    runtime = engine(step)
    runtime.ping()
    step.context.archives.check(within_seconds=STORE_SECONDS)
    source = source_facts(step.workflow)
    step.context.archives.require_key(source.key_id)
    host = _with_name_and_canary(step, runtime, runtime.host_facts())
    members = (
        *pod_check(step, source, host),
        *(_checked(step, member, source.host, host) for member in source.members),
    )
    _judge(step, {member.name: member.findings for member in members})
    return TargetCheck(members=members).model_dump(mode="json")


def _member(
    step: Step, info: ContainerInfo, host: HostFacts, shared: SharedVolumes, pod: PodInfo | None
) -> MemberFacts:
    runtime, workflow = engine(step), step.workflow
    container = _with_fixed_addresses(runtime.container_facts(info.id), info)
    container = without_pod(container, pod)
    outside = tuple(
        volume for volume in container.shared_volumes if volume.other not in workflow.containers
    )
    container = container.model_copy(update={"shared_volumes": outside})
    return MemberFacts(
        container=container,
        image_from_registry=runtime.image(info.image_id).from_registry,
        restart=info.spec.restart,
        carrier=shared.carriers.get(info.name, ""),
        findings=tuple(found_on_source(step, info, container, host, torn=info.name in shared.torn)),
    )


def _checked(step: Step, member: MemberFacts, source: HostFacts, host: HostFacts) -> MemberCheck:
    container = member.container
    archived = step.context.archives.image(container.image_id) is not None
    target = engine(step).target_facts(container, host)
    target = target.model_copy(update={"image_archived": archived})
    return MemberCheck(
        name=member.name,
        image_present=target.image_id == container.image_id,
        findings=move_findings(container, source, target, cold=step.workflow.options.cold),
    )


def _judge(step: Step, found: Mapping[str, tuple[Finding, ...]]) -> None:
    """Log the warnings; raise NotMovableError for blockers, unless findings are all that is asked.

    A blocker ends the step with its own message, so no warning stands beside it in the log.
    """
    workflow = step.workflow
    if workflow.kind is Kind.PREFLIGHT:
        return
    findings = tuple(f for name, own in found.items() for f in named(workflow, name, own))
    if blockers(findings):
        raise NotMovableError.of(workflow.workload, findings)
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
