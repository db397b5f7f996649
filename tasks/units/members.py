"""The containers that a workflow is about, on this host and in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from runtime import CheckpointRuntime, ContainerInfo
from storage import CheckpointDraft, CheckpointManifest, GroupManifest
from tasks.errors import NotMovableError, SourceGoneError
from tasks.groups import group_members, workload_line
from tasks.models import Kind, StepState, Unit, Workflow
from tasks.step import Step


def members_of(runtime: CheckpointRuntime, workflow: Workflow) -> tuple[ContainerInfo, ...]:
    """The workload's containers as they are now; those of a group that ended are not among them.

    Raises ContainerNotFoundError; NotMovableError when a group has others than were asked for.
    """
    if workflow.group is None:
        return (runtime.inspect(workflow.workload),)
    lines = (workload_line(found) for found in runtime.containers() if not found.infra)
    live = group_members(lines, workflow.group, workflow.workload)
    if live != workflow.members:
        raise NotMovableError(
            workflow.workload,
            f"its running containers are {', '.join(live) or 'none'} now, and were "
            f"{', '.join(workflow.members)} when it was asked for; try again",
        )
    return tuple(runtime.inspect(name) for name in live)


def manifests(step: Step) -> tuple[CheckpointManifest, ...]:
    """The checkpoints that the workflow brings back, in that order.

    Raises CheckpointNotFoundError, ManifestInvalidError.
    """
    archives, group = step.context.archives, group_manifest(step)
    if group is None:
        return (archives.manifest(step.workflow.checkpoint_id),)
    return tuple(map(archives.manifest, group.members))


def group_manifest(step: Step) -> GroupManifest | None:
    """The group's checkpoint that the workflow brings back; None when it is a container's.

    Raises CheckpointNotFoundError, ManifestInvalidError.
    """
    workflow = step.workflow
    if workflow.group is None:
        return None
    return step.context.archives.group(workflow.checkpoint_id)


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A checkpoint to bring back, and its stream, which may still be being written."""

    draft: CheckpointDraft
    chunks: Iterator[bytes]


def incoming(step: Step) -> Iterator[Incoming]:
    """The workflow's checkpoints in the order in which they are brought back, each to be read.

    A migration reads along while its source still writes. What ends that stream early is an error
    of ours: SourceGoneError, CancelledError, DeadlineError.
    """
    archives, workflow = step.context.archives, step.workflow
    if workflow.archives and workflow.kind is Kind.MIGRATE:
        for prefix in workflow.archives:
            draft = archives.announced(prefix)
            alive = partial(_require_source, step)
            along = archives.follow(
                draft.id, prefix, alive=alive, chain=draft.chain, progress=step.progress
            )
            yield Incoming(draft=draft, chunks=_permitted(step, map(bytes, along)))
        return
    found = manifests(step)
    before, total = 0, sum(manifest.tar_bytes for manifest in found)
    for manifest in found:
        chunks = step.read_checkpoint(manifest, before=before, total=total)
        yield Incoming(draft=manifest, chunks=_permitted(step, chunks))
        before += manifest.tar_bytes


def _permitted(step: Step, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Hold the end back until the record is asked: what has no end, no engine brings back to life.

    So a worker that slept while its step was given to another cannot make a second copy run.
    """
    last = b""
    for chunk in chunks:
        if last:
            yield last
        last = chunk
    step.note(permit=step.record.host)
    yield last


def volumes_of(found: Iterable[CheckpointDraft]) -> tuple[str, ...]:
    """The volumes that these checkpoints carry."""
    return tuple(volume for manifest in found for volume in manifest.volumes)


def _require_source(step: Step) -> None:
    """Return while the source writes, or when it has written all; else raise SourceGoneError."""
    step.check()
    written = [s for s in step.look().steps if s.unit is Unit.CHECKPOINT][-1]
    if written.state is StepState.FAILED or written.lapsed:
        why = written.error.message if written.error else "its worker gives no sign of life"
        raise SourceGoneError(written.host, why)
