"""What checkpoints are told apart from, and how they are sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from storage import (
    ArchiveDamagedError,
    Base,
    BaseRef,
    KeyMissingError,
    NoBaseError,
    PageIndexError,
    StorageError,
    Written,
)
from tasks.models import Increment, Kind, Unit, Workflow
from tasks.step import Step

TELLING_BYTES = 32 << 20  # what takes less does not tell how fast a link is


@contextmanager
def opened_bases(step: Step, names: Sequence[str]) -> Iterator[dict[str, Base]]:
    """The bases of those of these containers that have one, fetched and verified.

    Whoever prunes is told first: what was not removed until then is not removed any more. A base
    that cannot be used is no failure, the checkpoint is a full one then.
    """
    refs = preseeded(step.workflow) if step.workflow.kind is Kind.MIGRATE else _newest(step, names)
    step.note(parents=tuple(ref.parent for ref in refs.values() if ref.parent))
    with ExitStack() as stack:
        opened = {}
        for name, ref in refs.items():
            try:
                opened[name] = stack.enter_context(step.context.archives.base(ref))
            except (PageIndexError, ArchiveDamagedError, KeyMissingError) as error:
                step.log(str(NoBaseError(name, str(error))))
        yield opened


def preseeded(workflow: Workflow) -> dict[str, BaseRef]:
    """The bases that this migration has sent, by container."""
    sent = workflow.done(Unit.PRESEED)
    found = sent.result.get("bases") if sent else None
    if not isinstance(found, dict):
        return {}
    return {name: BaseRef.model_validate(ref) for name, ref in found.items()}


def forget_bases(step: Step) -> None:
    """Remove the copies of bases from this machine, as far as it lets us."""
    for ref in preseeded(step.workflow).values():
        with suppress(StorageError):
            step.context.archives.forget(ref.chain[0])


def drop_indexes(step: Step, bases: Iterable[Base]) -> None:
    """Delete what was sent for one comparison only; what stays is an orphan."""
    for base in bases:
        if base.ref.parent is None:
            with suppress(StorageError):
                step.context.archives.delete(base.ref.pages.index)


def send(
    step: Step,
    prefix: str,
    tar: Iterable[bytes],
    *,
    base: Base | None,
    index: bool,
    before: int,
) -> Written:
    """Store a checkpoint's tar, as ``ArchiveStore.write_pages``; remember how fast that was.

    ``before`` counts the bytes that were sent before it.
    """
    began, timed = time.monotonic(), _Timed(tar)

    def progress(done_bytes: int) -> None:
        step.progress(before + done_bytes)

    written = step.context.archives.write_pages(
        prefix, timed, base=base, index=index, progress=progress
    )
    registry, seconds = step.context.registry, time.monotonic() - began - timed.seconds
    if registry is not None and base is None and written.tar_bytes >= TELLING_BYTES:
        registry.report_rate(step.record.host, written.tar_bytes / max(seconds, 0.001))
    return written


class _Timed:
    """A stream, and for how long it was waited for: the engine's time, not the link's."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.seconds = 0.0
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        began = time.monotonic()
        try:
            return next(self._chunks)
        finally:
            self.seconds += time.monotonic() - began


def _newest(step: Step, names: Sequence[str]) -> dict[str, BaseRef]:
    if step.workflow.options.incremental is not Increment.AUTO:
        return {}
    found = {}
    for name in names:
        try:
            found[name] = step.context.archives.newest_base(
                name, full_every=step.context.full_every
            )
        except NoBaseError as error:
            step.log(str(error))
    return found
