"""Send most of a container's memory while it still runs."""

from __future__ import annotations

from pydantic import JsonValue

from runtime import CheckpointSpec
from storage import StorageError, member_checkpoint_id, new_archive_prefix
from tasks.facts import SourceFacts, source_facts
from tasks.models import Preseed
from tasks.step import Result, Step
from tasks.units.bases import forget_bases, preseeded, send
from tasks.units.engine import engine

WORTH_SECONDS = 10.0  # that a container would stand still longer, were nothing sent ahead
# What hosts dump, tell apart and put together themselves, however fast the link is (`make bench`).
LOCAL_BYTES_PER_SECOND = 100 * 2**20


def preseed(step: Step) -> Result:
    """Store the containers as they are now, for the checkpoint to be told apart from.

    They go on running before their files are copied, so memory and files of this copy can disagree.
    That does no harm: nobody restores it, only equal bytes of it are used. It lies in the place of
    the checkpoint to come, is needed as long as that, and goes with it.
    """
    runtime, source = engine(step), source_facts(step.workflow)
    if reason := _why_not(step, source):
        return {"bytes": 0, "reason": reason}
    bases: dict[str, JsonValue] = {}
    sent = raw = 0
    for member in source.members:
        place = member_checkpoint_id(step.workflow.checkpoint_id, member.name)
        prefix = new_archive_prefix(f"checkpoints/{place}")
        with runtime.checkpoint(member.id, CheckpointSpec(leave_running=True)) as tar:
            written = send(step, prefix, tar, base=None, index=True, before=raw)
        bases[member.name] = written.as_base().model_dump(mode="json")
        sent, raw = sent + written.size, raw + written.tar_bytes
    return {"bytes": sent, "raw_bytes": raw, "bases": bases}


def prefetch(step: Step) -> Result:
    """Fetch what was sent ahead, so that the restore finds it on this machine's disk.

    Without room for it, or when it cannot be had, the restore reads it from the store.
    """
    total = sum(ref.chain[0].raw_size for ref in preseeded(step.workflow).values())
    fetched = before = 0
    for ref in preseeded(step.workflow).values():
        [archive] = ref.chain

        def progress(done_bytes: int, before: int = before) -> None:
            step.progress(before + done_bytes, total)

        try:
            step.context.archives.prefetch(archive, progress=progress)
        except (StorageError, OSError) as error:
            forget_bases(step)
            step.log(f"the restore will read from the store: {error}")
            break
        fetched, before = fetched + archive.size, before + archive.raw_size
    return {"bytes": fetched}


def _why_not(step: Step, source: SourceFacts) -> str:
    """Why it is not worth a second dump; empty when it is."""
    if step.workflow.options.cold:
        return "it is moved cold"
    if step.workflow.options.preseed is Preseed.ON:
        return ""
    registry = step.context.registry
    rate = registry.rate(step.record.host) if registry else None
    if rate is None:
        return "it is not known how fast this host sends"
    memory = sum(member.container.memory_bytes for member in source.members)
    seconds = memory / rate - memory / LOCAL_BYTES_PER_SECOND
    return "" if seconds > WORTH_SECONDS else f"the link costs about {max(0, seconds):.1f} s"
