"""How a unit enters its step, holds it, and leaves it. The record is the truth.

A message is only a doorbell: the step it names may be done, held by another worker, or belong to a
plan that was given up. ``run_step`` asks the record first, renews a lease while the unit works, and
commits only while the step is still its own.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from datetime import timedelta

import structlog
from pydantic import JsonValue
from structlog.contextvars import bound_contextvars

from storage import Archive, CheckpointManifest
from tasks.alone import alone_with
from tasks.context import Context
from tasks.errors import (
    CancelledError,
    DeadlineError,
    NotMovableError,
    ReplayedStepError,
    StepFailedError,
    SupersededError,
)
from tasks.models import (
    Event,
    EventType,
    Parts,
    State,
    StepError,
    StepState,
    Unit,
    Workflow,
    now,
)
from tasks.models import Step as StepRecord
from tasks.plans import arrives, completed, made_cold

LOOK_SECONDS = 0.05
PROGRESS_SECONDS = 0.5
RENEW_SECONDS = 2.0  # also how soon a long transfer hears of a cancel or a lost step

Result = dict[str, JsonValue]
OnProgress = Callable[[int], None]
OnReady = Callable[[], None]
# Units that make, stop, start or remove containers.
TOUCHING = frozenset(
    {
        *(Unit.CHECKPOINT, Unit.RESTORE, Unit.FINISH, Unit.UP, Unit.DISCARD, Unit.RESUME),
        Unit.STOP,
    }
)
log = structlog.get_logger()


class Step:
    """A step that this process holds. ``workflow`` is the record as it last saw it."""

    def __init__(self, context: Context, workflow: Workflow, index: int, owner: str) -> None:
        self.context = context
        self.workflow = workflow
        self._index = index
        self._owner = owner
        self._stop: Exception | None = None
        self._progressed = 0.0
        self._on_progress: OnProgress | None = None
        self._on_ready: OnReady = lambda: None

    @property
    def record(self) -> StepRecord:
        """This step in the record."""
        return self.workflow.steps[self._index]

    def check(self) -> None:
        """Raise when the unit must not go on: superseded, cancelled, or past the deadline."""
        if self._stop is not None:
            raise self._stop

    def fence(self) -> None:
        """Ask the record right before an effect that cannot be taken back."""
        self.note()

    def still_ours(self) -> bool:
        """Ask the record whether this process holds the step, be it cancelled or late."""
        try:
            self.note()
        except SupersededError:
            return False
        except (CancelledError, DeadlineError):
            return True
        return True

    def read(self, archive: Archive) -> Iterator[bytes]:
        """The stream of an archive; the log tells how far it is."""

        def progress(done_bytes: int) -> None:
            self.progress(done_bytes, archive.raw_size)

        return map(bytes, self.context.archives.read(archive, progress=progress))

    def read_checkpoint(
        self, manifest: CheckpointManifest, *, before: int = 0, total: int | None = None
    ) -> Iterator[bytes]:
        """A checkpoint's tar, as ``read``.

        ``before`` and ``total`` count the bytes of all checkpoints where there are several.
        """

        def progress(done_bytes: int) -> None:
            self.progress(before + done_bytes, total or manifest.tar_bytes)

        return map(bytes, self.context.archives.read_checkpoint(manifest, progress=progress))

    def progress(self, done_bytes: int, total: int | None = None) -> None:
        """Tell how many bytes have passed; also where a long transfer learns that it must stop."""
        self.check()
        moment = time.monotonic()
        if moment - self._progressed >= PROGRESS_SECONDS:
            self._progressed = moment
            self.event(EventType.PROGRESS, done_bytes=done_bytes, total=total)
            if self._on_progress is not None:
                self._on_progress(done_bytes)

    def log(self, line: str) -> None:
        """Add a line to the workflow's log."""
        self.check()
        log.info(line)
        self.event(EventType.LOG, line)

    def event(
        self,
        kind: EventType,
        message: str = "",
        done_bytes: int | None = None,
        total: int | None = None,
    ) -> None:
        """Append an event of this step."""
        self.context.records.log(
            self.workflow.id,
            Event(
                type=kind,
                unit=self.record.unit,
                host=self.record.host,
                message=message,
                bytes=done_bytes,
                total=total,
            ),
        )

    def ready(self) -> None:
        """Let the steps after this one begin: what they need will come while this one goes on."""
        self._on_ready()

    def look(self) -> Workflow:
        """Read the record anew."""
        return self.context.records.get(self.workflow.id)

    def await_earlier(self) -> None:
        """Return when no worker holds an earlier step any more."""
        while any(step.live for step in self.look().steps[: self._index]):
            time.sleep(LOOK_SECONDS)

    def note(self, **fields: bool | str | tuple[str, ...] | Parts | None) -> None:
        """Change top-level fields of the record, and renew the lease, while the step is ours.

        A workflow that was cancelled is given no permit any more.
        """

        def change(workflow: Workflow) -> Workflow:
            held = self._mine(workflow)
            if fields.get("permit") and workflow.cancel_requested:
                raise CancelledError
            lease = now() + timedelta(seconds=self.context.lease_seconds)
            renewed = held.model_copy(update={"lease_until": lease})
            return workflow.model_copy(update=fields).with_step(self._index, renewed)

        self.workflow = self.context.records.update(self.workflow.id, change)
        self._stop = self._reason_to_stop() or self._stop
        self.check()

    def turn_cold(self) -> None:
        """Make the move a cold one, before anything else of it was begun."""
        self.workflow = self.context.records.update(self.workflow.id, self._turned_cold)

    def _turned_cold(self, workflow: Workflow) -> Workflow:
        self._mine(workflow)
        return made_cold(workflow)

    def commit(self, result: Result) -> None:
        """Record the result; the last step of a plan also ends the workflow.

        A move that was cancelled does not pass its commit point: raises CancelledError.
        """

        def change(workflow: Workflow) -> Workflow:
            held = self._mine(workflow)
            if workflow.cancel_requested and arrives(workflow, held):
                raise CancelledError
            held = held.model_copy(
                update={
                    "state": StepState.DONE,
                    "ended": now(),
                    "result": result,
                    "lease_until": None,
                }
            )
            return completed(workflow.with_step(self._index, held))

        self.workflow = self.context.records.update(self.workflow.id, change)
        self.event(EventType.DONE)
        log.info("step done", seconds=self.record.seconds, moved_bytes=result.get("bytes"))
        announce_end(self.context, self.workflow)

    def fail(self, error: BaseException) -> None:
        """Record why the step failed."""
        failure = StepError(
            type=type(error).__name__,
            message=str(error) or repr(error),
            findings=error.findings if isinstance(error, NotMovableError) else (),
        )

        def change(workflow: Workflow) -> Workflow:
            return workflow.with_step(self._index, self._mine(workflow).failed(failure))

        self.workflow = self.context.records.update(self.workflow.id, change)
        self.event(EventType.FAILED, failure.message)
        log.error("step failed", error=failure.type, reason=failure.message)

    def renew(self) -> None:
        """Renew the lease; remember it when the step is no longer ours or must stop."""
        try:
            self.note()
        except (SupersededError, CancelledError, DeadlineError) as error:
            self._stop = error
        except Exception as error:  # Redis is away: the next round tries again
            log.warning("lease not renewed", reason=str(error))

    def _reason_to_stop(self) -> Exception | None:
        past_commit = self.record.unit in {Unit.FINISH, Unit.RESUME, Unit.DISCARD}
        if past_commit:
            return None
        if self.workflow.cancel_requested:
            return CancelledError()
        return DeadlineError() if self.workflow.overdue(self.record.unit, now()) else None

    def _mine(self, workflow: Workflow) -> StepRecord:
        held = workflow.steps[self._index]
        if held.owner != self._owner or held.state is not StepState.RUNNING:
            raise SupersededError(workflow.id, self._index, f"it is {held.state}")
        if held.epoch != workflow.epoch or workflow.state is State.ENDED:
            raise SupersededError(workflow.id, self._index, "its plan was given up")
        return held


def run_step(
    context: Context,
    workflow_id: str,
    index: int,
    epoch: int,
    unit: Callable[[Step], Result],
    *,
    on_progress: OnProgress | None = None,
    on_ready: OnReady | None = None,
) -> Result:
    """Run a unit as one step of a workflow; return its (or its recorded) result.

    Raises SupersededError when the step is not to be run, StepFailedError when it failed.
    """
    step = _claim(context, workflow_id, index, epoch)
    if step.record.state is StepState.DONE:
        return step.record.result
    step._on_progress = on_progress
    step._on_ready = on_ready or step._on_ready
    held = step.record
    with bound_contextvars(workflow=workflow_id, unit=str(held.unit), host=held.host):
        return _run(step, unit)


def _run(step: Step, unit: Callable[[Step], Result]) -> Result:
    """Run the unit, its lease renewed meanwhile; every line that is logged tells the workflow."""
    step.event(EventType.STARTED)
    log.info("step begun", plan=step.record.epoch)
    over = threading.Event()
    renewer = threading.Thread(
        target=copy_context().run, args=(_keep, step, over), daemon=True, name="lease"
    )
    renewer.start()
    try:
        with _alone(step):
            step.fence()
            result = unit(step)
    except SupersededError:
        raise
    except Exception as error:
        raise _failure(step, error) from error
    finally:
        over.set()
        renewer.join()
    try:
        step.commit(result)
    except CancelledError as error:
        raise _failure(step, error) from error
    return result


def _alone(step: Step) -> AbstractContextManager[None]:
    """Keep others on this host off the containers, where the unit does something to them."""
    locks = step.context.locks
    if locks is None or step.record.unit not in TOUCHING:
        return nullcontext()
    return alone_with(step.workflow.containers, locks, step.check)


def _failure(step: Step, error: Exception) -> StepFailedError:
    step.fail(error)
    return StepFailedError(f"{type(error).__name__}: {error}")


def announce_end(context: Context, workflow: Workflow) -> None:
    """Put the end of a workflow into its log, for those who follow it."""
    if workflow.state is State.ENDED:
        message = str(workflow.outcome or "")
        context.records.log(workflow.id, Event(type=EventType.ENDED, message=message))
        log.info("workflow ended", workflow=workflow.id, outcome=message, reason=workflow.reason)


def _claim(context: Context, workflow_id: str, index: int, epoch: int) -> Step:
    owner = secrets.token_hex(8)
    ledger = context.ledger

    def change(workflow: Workflow) -> Workflow:
        if not 0 <= index < len(workflow.steps):
            raise SupersededError(workflow_id, index, "there is no such step")
        held = workflow.steps[index]
        if held.state is StepState.DONE and held.epoch == epoch:
            return workflow
        if held.epoch != epoch or workflow.epoch != epoch or workflow.state is State.ENDED:
            raise SupersededError(workflow_id, index, "its plan was given up")
        if held.state is not StepState.PENDING:
            raise SupersededError(workflow_id, index, f"it is {held.state}")
        if ledger is not None and ledger.has(workflow, index):
            replayed = ReplayedStepError()
            why = StepError(type=type(replayed).__name__, message=str(replayed))
            return workflow.with_step(index, held.failed(why))
        moment = now()
        running = held.model_copy(
            update={
                "state": StepState.RUNNING,
                "owner": owner,
                "started": moment,
                "lease_until": moment + timedelta(seconds=context.lease_seconds),
            }
        )
        return workflow.model_copy(update={"state": State.RUNNING}).with_step(index, running)

    step = Step(context, context.records.update(workflow_id, change), index, owner)
    if step.record.state is StepState.FAILED:
        message = step.record.error.message if step.record.error else ""
        step.event(EventType.FAILED, message)
        log.error("step refused", workflow=workflow_id, step=index, epoch=epoch, reason=message)
        raise StepFailedError(message)
    if ledger is not None and step.record.state is StepState.RUNNING:
        ledger.enter(step.workflow, index)
    return step


def _keep(step: Step, over: threading.Event) -> None:
    while not over.wait(min(RENEW_SECONDS, step.context.lease_seconds / 3)):
        step.renew()
