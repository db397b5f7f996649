"""The pod that a group's containers are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pydantic import JsonValue

from runtime import (
    CheckpointRuntime,
    ContainerFacts,
    ContainerInfo,
    HostFacts,
    PodInfo,
    PodSpec,
    needs_new_address,
    pod_findings,
    pod_target_findings,
)
from tasks.facts import (
    MemberCheck,
    PodFacts,
    SourceFacts,
    pod_label,
    source_facts,
    target_check,
)
from tasks.models import Kind
from tasks.step import Step
from tasks.units.engine import engine
from tasks.units.members import group_manifest
from tasks.units.surroundings import described_networks, ensure_networks, records


def pod_of(runtime: CheckpointRuntime, infos: Sequence[ContainerInfo]) -> PodInfo | None:
    """The one pod that all of them are in; None when there is no such pod."""
    pods = {info.pod for info in infos}
    return runtime.pod(pods.pop()) if len(pods) == 1 and "" not in pods else None


def without_pod(container: ContainerFacts, pod: PodInfo | None) -> ContainerFacts:
    """A container whose pod moves with it: it is no obstacle, and neither is its infra container.

    One of a pod that does not move with it stays as it is, for findings to tell.
    """
    if pod is None:
        return container
    others = tuple(other for other in container.dependencies if other != pod.infra)
    return container.model_copy(update={"pod": "", "dependencies": others})


def pod_facts(step: Step, pod: PodInfo, members: Sequence[ContainerFacts]) -> PodFacts:
    """What the target must know of the pod; findings about it."""
    runtime = engine(step)
    return PodFacts(
        info=pod,
        infra=runtime.container_facts(pod.infra) if pod.infra else None,
        networks=records(described_networks(runtime, pod.spec)),
        findings=tuple(pod_findings(pod, members)),
    )


def pod_check(step: Step, source: SourceFacts, host: HostFacts) -> tuple[MemberCheck, ...]:
    """What the target says of the pod, if there is one."""
    if source.pod is None:
        return ()
    runtime, info, infra = engine(step), source.pod.info, source.pod.infra
    target = runtime.target_facts(infra or source.members[0].container, host)
    name_in_use = runtime.pod_exists(info.spec.name)
    findings = pod_target_findings(info, infra, target, name_in_use=name_in_use)
    name = pod_label(info.spec.name)
    return (MemberCheck(name=name, image_present=True, findings=tuple(findings)),)


@dataclass(frozen=True, kw_only=True)
class WantedPod:
    """A pod to make, and how to make its networks where they are missing."""

    spec: PodSpec
    networks: tuple[Mapping[str, JsonValue], ...]


def wanted_pod(step: Step) -> WantedPod | None:
    """The pod of the containers that the workflow brings back; None when they are in none.

    It gets its old addresses, unless the target cannot give them or the request gives them up.
    A migration's group is published only when all of it was read: it has been described.
    """
    workflow, group, source = step.workflow, None, None
    if workflow.kind is Kind.MIGRATE:
        source = source_facts(workflow).pod
    else:
        group = group_manifest(step)
    if source is not None:
        wanted = WantedPod(spec=source.info.spec, networks=source.networks)
    elif group is not None and group.pod:
        wanted = WantedPod(spec=PodSpec.model_validate(group.pod), networks=group.networks)
    else:
        return None
    findings = target_check(workflow).of(pod_label(wanted.spec.name)).findings
    anew = workflow.options.ignore_static_ip or needs_new_address(findings)
    return replace(wanted, spec=wanted.spec.with_new_addresses()) if anew else wanted


def hold(runtime: CheckpointRuntime, source: SourceFacts) -> None:
    """Hold the pod, if there is one, while its containers are away."""
    if source.pod is not None:
        runtime.hold_pod(source.pod.name)


def release(runtime: CheckpointRuntime, source: SourceFacts) -> None:
    """End ``hold``."""
    if source.pod is not None:
        runtime.release_pod(source.pod.name)


@contextmanager
def made_and_held(runtime: CheckpointRuntime, pod: WantedPod | None) -> Iterator[None]:
    """Make a pod, its networks too, and hold it while its containers are restored."""
    if pod is None:
        yield
        return
    ensure_networks(runtime, pod.spec, pod.networks)
    runtime.create_pod(pod.spec)
    runtime.hold_pod(pod.spec.name)
    yield
    runtime.release_pod(pod.spec.name)
