"""The pod that a group's containers are in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
from storage import GroupManifest
from tasks.facts import MemberCheck, PodFacts, SourceFacts, pod_label, target_check
from tasks.models import Workflow
from tasks.step import Step
from tasks.units.engine import engine


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
        findings=tuple(pod_findings(pod, members)),
    )


def pod_check(step: Step, source: SourceFacts, host: HostFacts) -> tuple[MemberCheck, ...]:
    """What the target says of the pod, if there is one."""
    if source.pod is None:
        return ()
    runtime, info, infra = engine(step), source.pod.info, source.pod.infra
    target = runtime.target_facts(infra or source.members[0].container)
    findings = pod_target_findings(
        info,
        infra,
        target.model_copy(update={"host": host}),
        name_in_use=runtime.pod_exists(info.spec.name),
    )
    name = pod_label(info.spec.name)
    return (MemberCheck(name=name, image_present=True, findings=tuple(findings)),)


def spec_in(group: GroupManifest | None) -> PodSpec | None:
    """The pod that a group's checkpoint remembers."""
    return PodSpec.model_validate(group.pod) if group is not None and group.pod else None


def as_wanted(workflow: Workflow, spec: PodSpec | None) -> PodSpec | None:
    """The pod with its old addresses, unless the target cannot give them or nobody wants them."""
    if spec is None:
        return None
    findings = target_check(workflow).of(pod_label(spec.name)).findings
    anew = workflow.options.ignore_static_ip or needs_new_address(findings)
    return spec.with_new_addresses() if anew else spec


def hold(runtime: CheckpointRuntime, source: SourceFacts) -> None:
    """Hold the pod, if there is one, while its containers are away."""
    if source.pod is not None:
        runtime.hold_pod(source.pod.name)


def release(runtime: CheckpointRuntime, source: SourceFacts) -> None:
    """End ``hold``."""
    if source.pod is not None:
        runtime.release_pod(source.pod.name)


@contextmanager
def made_and_held(runtime: CheckpointRuntime, spec: PodSpec | None) -> Iterator[str]:
    """Make a pod and hold it while its containers are restored; gives its name, or nothing."""
    if spec is None:
        yield ""
        return
    runtime.create_pod(spec)
    runtime.hold_pod(spec.name)
    yield spec.name
    runtime.release_pod(spec.name)
