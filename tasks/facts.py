"""What the steps of a workflow tell each other about the workload. It holds no secrets."""

from __future__ import annotations

from pydantic import TypeAdapter

from runtime import (
    ContainerFacts,
    ContainerInfo,
    Finding,
    HostFacts,
    ImageInfo,
    RestartPolicy,
    Severity,
)
from tasks.errors import InvalidRequestError
from tasks.models import Model, Unit, Workflow

_FINDINGS = TypeAdapter(tuple[Finding, ...])


class WorkloadFacts(Model):
    """The source's container, as ``describe`` found it; the target is checked against it."""

    container_id: str
    name: str
    image: str
    image_id: str
    image_from_registry: bool
    key_id: str
    volumes: tuple[str, ...]
    restart: RestartPolicy
    container: ContainerFacts
    host: HostFacts
    findings: tuple[Finding, ...]

    @classmethod
    def of(
        cls,
        info: ContainerInfo,
        image: ImageInfo,
        *,
        key_id: str,
        container: ContainerFacts,
        host: HostFacts,
        findings: tuple[Finding, ...],
    ) -> WorkloadFacts:
        """Take them from what the engine says."""
        return cls(
            container_id=info.id,
            name=info.name,
            image=info.image,
            image_id=info.image_id,
            image_from_registry=image.from_registry,
            key_id=key_id,
            volumes=info.volumes,
            restart=info.spec.restart,
            container=container,
            host=host,
            findings=findings,
        )


class TargetCheck(Model):
    """What ``preflight`` found on the target."""

    image_present: bool
    findings: tuple[Finding, ...]


def workload_facts(workflow: Workflow) -> WorkloadFacts:
    """The recorded facts. Raises InvalidRequestError when ``describe`` did not run."""
    described = workflow.done(Unit.DESCRIBE)
    if described is None:
        raise InvalidRequestError(f"workflow {workflow.id} never described its container")
    return WorkloadFacts.model_validate(described.result)


def target_check(workflow: Workflow) -> TargetCheck:
    """What ``preflight`` found; nothing, when nobody asked the target."""
    checked = workflow.done(Unit.PREFLIGHT)
    if checked is None:
        return TargetCheck(image_present=False, findings=())
    return TargetCheck.model_validate(checked.result)


def findings_of(workflow: Workflow) -> tuple[Finding, ...]:
    """What describe and preflight found, wherever the record keeps it, blockers first."""
    found: list[Finding] = []
    for step in workflow.steps:
        if step.unit in {Unit.DESCRIBE, Unit.PREFLIGHT}:
            found += step.error.findings if step.error else ()
            found += _FINDINGS.validate_python(step.result.get("findings", ()))
    unique = dict.fromkeys(finding.model_dump_json() for finding in found)
    found = [Finding.model_validate_json(text) for text in unique]
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.BLOCKER))
