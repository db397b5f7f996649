"""Make room on a target, once, and clean up only what this workflow put there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from runtime import (
    CheckpointRuntime,
    ContainerExistsError,
    PodExistsError,
    RuntimeEngineError,
    VolumeExistsError,
    VolumeInUseError,
)
from storage import CheckpointDraft
from tasks.models import Parts
from tasks.step import Step
from tasks.units.engine import lookup, remove_copies
from tasks.units.members import volumes_of

log = structlog.get_logger()


def take_target(
    step: Step,
    runtime: CheckpointRuntime,
    names: Sequence[str],
    volumes: Sequence[str],
    *,
    pod: str = "",
    ids: Sequence[str] = (),
) -> None:
    """Make sure that this host has nothing of these names, then mark it as touched.

    Before the mark anything there belongs to someone else and is refused; after it, whatever is
    there is a leftover of this workflow's earlier try and is removed. What was to be evicted under
    these names is gone then. Raises ContainerExistsError, PodExistsError, VolumeExistsError.
    """
    parts = Parts(containers=tuple(names), ids=tuple(ids), volumes=tuple(volumes), pod=pod)
    host, evictions = step.record.host, step.context.records.evictions
    if step.workflow.touched == host:
        step.note(parts=parts)
        remove_copies(runtime, names, volumes, pod=pod)
        evictions.void(host, parts)
        return
    if pod and runtime.pod_exists(pod):
        raise PodExistsError(pod)
    for name in names:
        if lookup(runtime, name) is not None:
            raise ContainerExistsError(name)
    for volume in volumes:
        if runtime.volume_exists(volume):
            raise VolumeExistsError(volume)
    step.note(touched=host, parts=parts)
    evictions.void(host, parts)


@contextmanager
def leaving_nothing(
    step: Step,
    runtime: CheckpointRuntime,
    names: Sequence[str],
    volumes: Sequence[str],
    *,
    pod: str = "",
) -> Iterator[None]:
    """Remove what a failed try made, as far as the engine lets us; the next rung does it again.

    Not when the step was taken away: what is here under these names may be another's by now.
    """
    try:
        yield
    except Exception:
        if step.still_ours():
            _clean_up(runtime, names, volumes, pod)
        raise


def _clean_up(
    runtime: CheckpointRuntime, names: Sequence[str], volumes: Sequence[str], pod: str
) -> None:
    try:
        remove_copies(runtime, names, volumes, pod=pod)
    except RuntimeEngineError as error:
        log.warning("leftovers stay until the next try", containers=names, reason=str(error))


def discard_old(
    step: Step, runtime: CheckpointRuntime, found: Sequence[CheckpointDraft], *, pod: str = ""
) -> None:
    """What ``--replace`` asks for: containers of these names, and their volumes, make room.

    So does a pod of that name that has no others.
    """
    here = [old.id for old in (lookup(runtime, m.workload) for m in found) if old is not None]
    if (here or pod) and step.workflow.touched is None:
        for volume in volumes_of(found):
            if set(runtime.volume_users(volume)) - set(here):
                raise VolumeInUseError(volume)
        step.fence()
        remove_copies(runtime, here, volumes_of(found) if here else (), pod=pod)
