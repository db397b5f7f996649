"""What the steps of a workflow tell each other about the workload. It holds no secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from runtime import ContainerFacts, Finding, HostFacts, PodInfo, RestartPolicy, Severity
from tasks.errors import InvalidRequestError
from tasks.models import Fallback, Model, Parts, Policy, Unit, Workflow


class MemberFacts(Model):
    """A container on its source, as ``describe`` found it; the target is checked against it."""

    container: ContainerFacts
    image_from_registry: bool
    restart: RestartPolicy
    carrier: str = ""  # the member whose archive holds its volumes, when it shares all of them
    findings: tuple[Finding, ...]

    @property
    def id(self) -> str:
        """The engine's id of it."""
        return self.container.container_id

    @property
    def name(self) -> str:
        """The container's name."""
        return self.container.name

    @property
    def volumes(self) -> tuple[str, ...]:
        """The volumes that it mounts, named and anonymous."""
        return self.container.volumes


class PodFacts(Model):
    """The pod that all of the containers are in; ``infra`` has its ports and addresses."""

    info: PodInfo
    infra: ContainerFacts | None
    networks: tuple[dict[str, JsonValue], ...]  # how to make its networks
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.info.spec.name


class SourceFacts(Model):
    """The workload's containers, in the order in which they are brought back, and their host."""

    host: HostFacts
    key_id: str  # of the key that its archives will be sealed with
    members: tuple[MemberFacts, ...]
    pod: PodFacts | None = None
    fallback: tuple[Fallback, ...] = ()  # what a label says of it
    policy: Policy = Policy.AUTO  # likewise

    @property
    def volumes(self) -> tuple[str, ...]:
        """The volumes of all of them, each once."""
        return tuple(dict.fromkeys(v for member in self.members for v in member.volumes))


class MemberCheck(Model):
    """What ``preflight`` found on the target about one container, or about a pod."""

    name: str
    image_present: bool
    findings: tuple[Finding, ...]


class TargetCheck(Model):
    """What ``preflight`` found on the target."""

    members: tuple[MemberCheck, ...]

    def of(self, name: str) -> MemberCheck:
        """About one container; nothing, when nobody asked the target."""
        asked = (member for member in self.members if member.name == name)
        return next(asked, MemberCheck(name=name, image_present=False, findings=()))


def pod_label(name: str) -> str:
    """What a pod is called among containers, whose names have no blanks."""
    return f"pod {name}"


def source_facts(workflow: Workflow) -> SourceFacts:
    """The recorded facts. Raises InvalidRequestError when ``describe`` did not run."""
    described = workflow.done(Unit.DESCRIBE)
    if described is None:
        raise InvalidRequestError(f"workflow {workflow.id} never described its containers")
    return SourceFacts.model_validate(described.result)


def copy_of(workflow: Workflow) -> Parts:
    """What a copy of the workload is made of, where parts of one may be."""
    if workflow.parts is not None:
        return workflow.parts
    source = source_facts(workflow)
    return Parts(
        containers=tuple(member.name for member in source.members),
        volumes=source.volumes,
        pod=source.pod.name if source.pod else "",
    )


def target_check(workflow: Workflow) -> TargetCheck:
    """What ``preflight`` found; nothing, when nobody asked the target."""
    checked = workflow.done(Unit.PREFLIGHT)
    return TargetCheck.model_validate(checked.result if checked else {"members": ()})


def findings_of(workflow: Workflow) -> tuple[Finding, ...]:
    """What describe and preflight found, wherever the record keeps it, blockers first."""
    unique = {finding.model_dump_json(): finding for finding in _findings(workflow)}
    return tuple(sorted(unique.values(), key=lambda f: f.severity is not Severity.BLOCKER))


def named(workflow: Workflow, name: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, each with the container that it is about when there are several."""
    if workflow.group is None:
        return tuple(findings)
    return tuple(f.model_copy(update={"message": f"{name}: {f.message}"}) for f in findings)


def _findings(workflow: Workflow) -> Iterator[Finding]:
    for step in workflow.steps:
        yield from step.error.findings if step.error else ()
    known: list[MemberFacts | MemberCheck] = []
    if workflow.done(Unit.DESCRIBE):
        source = source_facts(workflow)
        known += source.members
        if source.pod is not None:
            yield from named(workflow, pod_label(source.pod.name), source.pod.findings)
    for member in (*known, *target_check(workflow).members):
        yield from named(workflow, member.name, member.findings)
