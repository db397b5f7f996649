"""What is found about one container on its source, by what is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from runtime import (
    CheckpointRuntime,
    ContainerFacts,
    ContainerInfo,
    ContainerState,
    Finding,
    HostFacts,
    Severity,
    source_findings,
)
from tasks.groups import PROJECT_LABEL
from tasks.models import Kind
from tasks.step import Step
from tasks.units.engine import engine


def found_on_source(
    step: Step, info: ContainerInfo, container: ContainerFacts, host: HostFacts, *, torn: bool
) -> Iterator[Finding]:
    """Findings about it; ``torn``: its volumes cannot be told apart from its group's."""
    workflow, cold = step.workflow, step.workflow.options.cold
    moving = workflow.kind is not Kind.CHECKPOINT
    if workflow.kind is Kind.STOP:
        yield from _not_to_stop(info)
        return
    yield from source_findings(container, host, moving=moving, cold=cold)
    if cold:
        yield from _no_copy(engine(step), info)
    if torn:
        yield from _torn()
    if moving and workflow.group is None:
        yield from _left_behind(info)


def _not_to_stop(info: ContainerInfo) -> Iterator[Finding]:
    if info.auto_remove:
        yield Finding(
            severity=Severity.BLOCKER,
            code="auto-remove",
            message="it was made with --rm, so it would vanish",
            cure="make it anew without --rm",
        )


def _no_copy(runtime: CheckpointRuntime, info: ContainerInfo) -> Iterator[Finding]:
    """Why its files could not be copied once it is stopped; other findings tell of its state."""
    running = info.state is ContainerState.RUNNING and not info.auto_remove
    reason = runtime.cold_blocker(info.id) if running else ""
    if reason:
        yield Finding(
            severity=Severity.BLOCKER,
            code="cold-copy",
            message=f"its files could not be copied: {reason}",
            cure="move it with its memory: without --cold, or without the label",
        )


def _torn() -> Iterator[Finding]:
    yield Finding(
        severity=Severity.BLOCKER,
        code="volume-shared",
        message="it shares a volume with a container that lacks another volume of it",
        cure="let one of the two mount all that the other mounts",
    )


def _left_behind(info: ContainerInfo) -> Iterator[Finding]:
    """What moves without its project finds nobody under the names that it knows."""
    project = info.spec.labels.get(PROJECT_LABEL)
    if project:
        yield Finding(
            severity=Severity.WARNING,
            code="project",
            message=f"it belongs to the compose project {project!r}, whose other containers stay",
            cure=f"to move them as one, name the project: podferry migrate {project} --to HOST",
        )
