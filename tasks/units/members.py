"""The containers that a workflow is about, on this host and in the store."""

from __future__ import annotations

from runtime import CheckpointRuntime, ContainerInfo
from storage import CheckpointManifest
from tasks.errors import NotMovableError
from tasks.groups import group_members, workload_line
from tasks.models import Workflow
from tasks.step import Step


def members_of(runtime: CheckpointRuntime, workflow: Workflow) -> tuple[ContainerInfo, ...]:
    """The workload's containers as they are now; those of a group that ended are not among them.

    Raises ContainerNotFoundError; NotMovableError when a group has others than were asked for.
    """
    if workflow.group is None:
        return (runtime.inspect(workflow.workload),)
    lines = map(workload_line, runtime.containers())
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
    archives, workflow = step.context.archives, step.workflow
    if workflow.group is None:
        return (archives.manifest(workflow.checkpoint_id),)
    return tuple(map(archives.manifest, archives.group(workflow.checkpoint_id).members))


def volumes_of(found: tuple[CheckpointManifest, ...]) -> tuple[str, ...]:
    """The volumes that these checkpoints carry."""
    return tuple(volume for manifest in found for volume in manifest.volumes)
