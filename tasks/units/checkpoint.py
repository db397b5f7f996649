"""Stop a workload with what it holds in the store, or bring it back where it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from runtime import (
    CheckpointRuntime,
    CheckpointSpec,
    CheckpointStream,
    ContainerState,
    RestartPolicy,
    RestoreSpec,
)
from storage import (
    Base,
    CheckpointDraft,
    CheckpointManifest,
    GroupManifest,
    ImageRef,
    Written,
    member_checkpoint_id,
    new_archive_prefix,
)
from tasks.facts import MemberFacts, SourceFacts, source_facts
from tasks.models import Increment, Kind, Workflow, now
from tasks.step import Result, Step
from tasks.stored import asked
from tasks.units.bases import drop_indexes, opened_bases, send
from tasks.units.cold import halted
from tasks.units.engine import engine, wait_healthy
from tasks.units.parallel import in_parallel
from tasks.units.pods import hold, release
from tasks.units.surroundings import described_networks, described_volumes, records

Dumps = dict[str, CheckpointStream]


def checkpoint(step: Step) -> Result:
    """Checkpoint the containers into the store, manifests last; in a cold move, their files only.

    A migration leaves them stopped, their checkpoints in place, and its target may begin to read
    the archives at once. A plain checkpoint brings them back as soon as the engine's own copies are
    complete, which their first bytes tell: the archive then holds one moment's memory and files,
    and the containers stand still for the dump only.
    """
    source = source_facts(step.workflow)
    with opened_bases(step, [member.name for member in source.members]) as bases:
        return _checkpoint(step, source, bases)


def _checkpoint(step: Step, source: SourceFacts, bases: Mapping[str, Base]) -> Result:
    runtime = engine(step)
    drafts = [_draft(step, source, member, bases.get(member.name)) for member in source.members]
    prefixes = [new_archive_prefix(f"checkpoints/{draft.id}") for draft in drafts]
    stay = step.workflow.kind is Kind.CHECKPOINT and not step.workflow.options.leave_stopped
    step.note(source_stopped=True, archives=tuple(prefixes))
    hold(runtime, source)
    cold = step.workflow.options.cold
    if step.workflow.kind is Kind.MIGRATE and not cold:
        for prefix, draft in zip(prefixes, drafts, strict=True):
            step.context.archives.announce(prefix, draft)
        step.ready()
    step.fence()  # announcing takes a while: the workload may have been given back by now
    for member in source.members:
        # The policy would start the stopped container from scratch; the copy gets it back.
        runtime.update_restart_policy(member.id, RestartPolicy())
    with halted(step, runtime, source) if cold else _dumped(runtime, source) as dumps:
        if stay:
            _bring_back(runtime, source)
        stored = _stored(
            step, prefixes, [(dumps[d.workload], bases.get(d.workload)) for d in drafts]
        )
    step.fence()
    # The first one last: it is brought back first, and only when all of them are complete.
    for draft, written in reversed(list(zip(drafts, stored, strict=True))):
        statistics = dict(dumps[draft.workload].statistics)
        step.context.archives.publish(
            CheckpointManifest.model_validate(
                {**dict(draft), **written.fields, "statistics": statistics}
            )
        )
    _publish_group(step, source)
    drop_indexes(step, bases.values())
    if step.workflow.options.leave_stopped:
        release(runtime, source)
    return {
        "bytes": sum(written.size for written in stored),
        "raw_bytes": sum(written.tar_bytes for written in stored),
    }


def resume(step: Step) -> Result:
    """Make the source's containers run again, with their memory unless that is lost."""
    runtime, source = engine(step), source_facts(step.workflow)
    step.fence()
    kept = _bring_back(runtime, source)
    for member in source.members:
        wait_healthy(step, member.id, restored=member.name in kept)
    return {"memory_kept": len(kept) == len(source.members)}


def _bring_back(runtime: CheckpointRuntime, source: SourceFacts) -> set[str]:
    """Make all of them run again; return the names of those that still have their memory."""
    joined = {n.network.name for m in source.members for n in m.container.networks}
    kept = set()
    with runtime.kept_apart(joined if len(source.members) > 1 else (), everyone=True) as cut_off:
        for member in source.members:
            if _runs_again(runtime, member):
                kept.add(member.name)
            cut_off()
        joined_at = (n.addresses for m in source.members for n in m.container.networks)
        runtime.forget_connections(a for addresses in joined_at for a in addresses)
    release(runtime, source)
    for member in source.members:
        runtime.update_restart_policy(member.id, member.restart)
    return kept


def _runs_again(runtime: CheckpointRuntime, member: MemberFacts) -> bool:
    """Make it run; say whether its memory is what it was."""
    info = runtime.inspect(member.id)
    if info.state is ContainerState.RUNNING:
        return True
    if info.state is ContainerState.OTHER:  # a stop whose worker did not live to see its end
        runtime.stop(member.id, timeout_seconds=0)
    if info.checkpointed:
        runtime.restore_in_place(member.id, RestoreSpec())
    else:
        runtime.start(member.id)
    return info.checkpointed


@contextmanager
def _dumped(runtime: CheckpointRuntime, source: SourceFacts) -> Iterator[Dumps]:
    """Stop the containers as close together as the engine can; each stream waits to be read.

    Who carries a shared volume comes after those that write to it too: its archive then holds
    what they wrote last.
    """
    carriers = {member.carrier for member in source.members}
    first = [member for member in source.members if member.name not in carriers]
    last = [member for member in source.members if member.name in carriers]
    dumps: Dumps = {}
    with ExitStack() as stack:
        for wave in filter(None, (first, last)):
            dumps |= _wave(runtime, wave, stack)
        yield dumps


def _wave(runtime: CheckpointRuntime, members: list[MemberFacts], stack: ExitStack) -> Dumps:
    """Dump them at once; when one fails, the others are dumped too, so that nothing is half-way."""
    contexts = {m.name: runtime.checkpoint(m.id, CheckpointSpec()) for m in members}

    def enter(context: AbstractContextManager[CheckpointStream]) -> CheckpointStream:
        stream = context.__enter__()
        stack.push(context)
        return stream

    return dict(zip(contexts, in_parallel(contexts.values(), enter), strict=True))


def _stored(
    step: Step, prefixes: Sequence[str], dumps: Sequence[tuple[CheckpointStream, Base | None]]
) -> list[Written]:
    """Send them to the store, one after the other: memory stays that of one transfer."""
    stored: list[Written] = []
    index = step.workflow.options.incremental is not Increment.NONE
    for prefix, (chunks, base) in zip(prefixes, dumps, strict=True):
        before = sum(written.tar_bytes for written in stored)
        stored.append(send(step, prefix, chunks, base=base, index=index, before=before))
    return stored


def _draft(
    step: Step, source: SourceFacts, member: MemberFacts, base: Base | None
) -> CheckpointDraft:
    """What the manifest says besides its archive, asked while the container runs."""
    runtime, archives, workflow = engine(step), step.context.archives, step.workflow
    container, spec = member.container, runtime.inspect(member.id).spec
    others = {v for other in source.members if other is not member for v in other.volumes}
    return CheckpointDraft(
        id=_id(workflow, member.name),
        workload=member.name,
        group=workflow.checkpoint_id if workflow.group else "",
        created=now(),
        host=step.record.host,
        container_id=member.id,
        memory=not workflow.options.cold,
        image=ImageRef(
            name=container.image,
            id=container.image_id,
            archived=archives.image(container.image_id) is not None,
        ),
        spec=asked(spec),
        volumes=() if member.carrier else member.volumes,
        shared_volumes=tuple(volume for volume in member.volumes if volume in others),
        addresses=tuple(a for network in container.networks for a in network.addresses),
        networks=records(described_networks(runtime, spec)),
        volume_specs=records(described_volumes(runtime, spec)),
        facts=runtime.capabilities().model_dump(mode="json"),
        parent=base.ref.parent if base else None,
        chain=base.ref.chain if base else (),
    )


def _publish_group(step: Step, source: SourceFacts) -> None:
    workflow = step.workflow
    if workflow.group is not None:
        step.context.archives.publish_group(
            GroupManifest(
                id=workflow.checkpoint_id,
                workload=workflow.workload,
                kind=workflow.group,
                created=now(),
                host=step.record.host,
                members=tuple(_id(workflow, member.name) for member in source.members),
                pod=asked(source.pod.info.spec) if source.pod else None,
                networks=source.pod.networks if source.pod else (),
            )
        )


def _id(workflow: Workflow, name: str) -> str:
    return member_checkpoint_id(workflow.checkpoint_id, name)
