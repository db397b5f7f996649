"""Make room on a target, once, and clean up only what this workflow put there."""

from __future__ import annotations

import structlog

from runtime import (
    CheckpointRuntime,
    ContainerExistsError,
    RuntimeEngineError,
    VolumeExistsError,
)
from tasks.step import Step
from tasks.units.engine import lookup, remove_copy

log = structlog.get_logger()


def take_target(
    step: Step, runtime: CheckpointRuntime, name: str, volumes: tuple[str, ...]
) -> None:
    """Make sure that the target has nothing of this name, then mark it as touched.

    Before the mark anything there belongs to someone else and is refused; after it, whatever is
    there is a leftover of this workflow's earlier try and is removed. Raises
    ContainerExistsError, VolumeExistsError.
    """
    if step.workflow.target_touched:
        step.fence()
        remove_copy(runtime, name, volumes)
        return
    if lookup(runtime, name) is not None:
        raise ContainerExistsError(name)
    for volume in volumes:
        if runtime.volume_exists(volume):
            raise VolumeExistsError(volume)
    step.note(target_touched=True)


def clean_up(runtime: CheckpointRuntime, name: str, volumes: tuple[str, ...]) -> None:
    """Remove a failed try's copy as far as the engine lets us; the next rung does it again."""
    try:
        remove_copy(runtime, name, volumes)
    except RuntimeEngineError as error:
        log.warning("leftovers stay until the next try", container=name, reason=str(error))
