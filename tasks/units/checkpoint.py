"""Stop a container with its memory in the store, or bring it back where it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import JsonValue

from runtime import (
    CheckpointRuntime,
    CheckpointSpec,
    CheckpointStream,
    ContainerState,
    RestartPolicy,
    RestoreSpec,
)
from storage import Archive, CheckpointManifest, ImageRef, new_archive_prefix
from tasks.facts import WorkloadFacts, workload_facts
from tasks.models import Kind, now
from tasks.step import Result, Step
from tasks.units.engine import engine, wait_healthy
from tasks.units.surroundings import described_networks, described_volumes, records


def checkpoint(step: Step) -> Result:
    """Checkpoint the container into the store, manifest last.

    A migration leaves it stopped, its checkpoint in place. A plain checkpoint brings it back as
    soon as the engine's own copy is complete, which its first byte tells: the archive then holds
    one moment's memory and files, and the container stands still for the dump only.
    """
    runtime, facts = engine(step), workload_facts(step.workflow)
    spec = runtime.inspect(facts.container_id).spec
    around = {
        "networks": records(described_networks(runtime, spec)),
        "volume_specs": records(described_volumes(runtime, spec)),
    }
    stay = step.workflow.kind is Kind.CHECKPOINT and not step.workflow.options.leave_stopped
    step.note(source_stopped=True)
    # The policy would start the stopped container from scratch; the copy gets it back.
    runtime.update_restart_policy(facts.container_id, RestartPolicy())
    prefix = new_archive_prefix(f"checkpoints/{step.workflow.checkpoint_id}")
    with _exported(runtime, facts, resume=stay) as chunks:
        archive = step.context.archives.write(prefix, chunks, progress=step.progress)
    step.fence()
    manifest = _manifest(step, facts, spec.model_dump(mode="json"), archive, chunks.statistics)
    step.context.archives.publish(manifest.model_copy(update=around))
    return {"bytes": archive.size, "raw_bytes": archive.raw_size}


def resume(step: Step) -> Result:
    """Make the source's container run again, with its memory unless that is lost."""
    runtime, facts = engine(step), workload_facts(step.workflow)
    info = runtime.inspect(facts.container_id)
    kept = True
    step.fence()
    if info.state is not ContainerState.RUNNING:
        if info.checkpointed:
            runtime.restore_in_place(facts.container_id, RestoreSpec())
        else:
            runtime.start(facts.container_id)
            kept = False
    runtime.update_restart_policy(facts.container_id, facts.restart)
    wait_healthy(step, facts.container_id, restored=kept)
    return {"memory_kept": kept}


@contextmanager
def _exported(
    runtime: CheckpointRuntime, facts: WorkloadFacts, *, resume: bool
) -> Iterator[CheckpointStream]:
    with runtime.checkpoint(facts.container_id, CheckpointSpec()) as chunks:
        if resume:
            runtime.restore_in_place(facts.container_id, RestoreSpec())
            runtime.update_restart_policy(facts.container_id, facts.restart)
        yield chunks


def _manifest(
    step: Step,
    facts: WorkloadFacts,
    spec: dict[str, JsonValue],
    archive: Archive,
    statistics: Mapping[str, int],
) -> CheckpointManifest:
    runtime, archives = engine(step), step.context.archives
    stored = archives.image(facts.image_id) is not None
    return CheckpointManifest(
        id=step.workflow.checkpoint_id,
        workload=facts.name,
        created=now(),
        host=step.record.host,
        container_id=facts.container_id,
        image=ImageRef(name=facts.image, id=facts.image_id, archived=stored),
        spec=spec,
        volumes=facts.volumes,
        archive=archive,
        statistics=dict(statistics),
        facts=runtime.capabilities().model_dump(mode="json"),
    )
