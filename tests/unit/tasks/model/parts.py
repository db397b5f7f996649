"""What an actor works with: the real records, archives and fake engines, each call a point to stop.

Also the clock, and the mail that takes Celery's place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from runtime import Canary, CheckpointSpec, CheckpointStream, ColdSpec, FakeRuntime
from storage import (
    Archive,
    ArchiveDamagedError,
    ArchiveStore,
    CheckpointManifest,
    CheckpointNotFoundError,
)
from storage.objects import Blob
from tasks.models import Outcome, State, StepState, Workflow
from tasks.records import BELL, Change, Records
from tests.unit.tasks.model.actors import answered, here, pause

OVER = {StepState.DONE, StepState.FAILED}
CALLS = {
    "ping",
    "run",
    "start",
    "restore",
    "restore_in_place",
    "remove",
    "remove_volume",
    "inspect",
}


LOOKS = {"ping", "inspect"}


class Clock:
    """The time, which passes when a test says so."""

    def __init__(self) -> None:
        self.moment = datetime.fromisoformat("2026-01-01T00:00:00+00:00")

    def now(self) -> datetime:
        return self.moment

    def pass_(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Message:
    """Steps to be run one after the other; without any, the call for the next rung."""

    workflow: str
    epoch: int
    steps: tuple[int, ...] = ()


class Mail:
    """An application that keeps what was sent, in no order."""

    def __init__(self) -> None:
        self.bag: list[Message] = []
        self.amqp = SimpleNamespace(queues=SimpleNamespace(add=lambda _: None))

    def send(self, message: Message) -> None:
        _ask(asked=False)
        pause("send")
        self.bag.append(message)


def send(mail: Mail, workflow: Workflow, indexes: Sequence[int], headers: object) -> None:
    """In the place of ``tasks.workflows._send``."""
    mail.send(Message(workflow.id, workflow.epoch, tuple(indexes)))


def failed(mail: Mail, workflow: Workflow, _: object) -> SimpleNamespace:
    """In the place of ``tasks.workflows._failed``."""
    message = Message(workflow.id, workflow.epoch, ())
    return SimpleNamespace(apply_async=lambda: mail.send(message))


class Engine:
    """A host's engine, as its workers reach it."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        found = getattr(self._runtime, name)
        return _stopping(name, found) if name in CALLS else found

    @contextmanager
    def checkpoint(self, container: str, spec: CheckpointSpec) -> Iterator[CheckpointStream]:
        pause("checkpoint")
        _ask(asked=False)
        with self._runtime.checkpoint(container, spec) as stream:
            answered()
            pause("dumped")
            yield stream

    @contextmanager
    def cold_copy(self, container: str, spec: ColdSpec) -> Iterator[CheckpointStream]:
        pause("cold_copy")
        _ask(asked=False)
        with self._runtime.cold_copy(container, spec) as stream:
            answered()
            pause("stopped")
            yield stream


def _ask(*, asked: bool) -> None:
    actor = here()
    if actor is not None:
        actor.asked = asked


def _stopping(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def stopping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        pause(name)
        if name not in LOOKS:
            _ask(asked=False)
        result = call(*args, **kwargs)
        answered()
        return result

    return stopping


class Store(ArchiveStore):
    """Archives; who reads along waits for the whole."""

    def publish(self, manifest: CheckpointManifest) -> None:
        pause("publish")
        _ask(asked=False)
        super().publish(manifest)

    def follow(
        self,
        checkpoint_id: str,
        prefix: str,
        *,
        alive: Callable[[], None],
        chain: Sequence[Archive] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Generator[Blob, None, None]:
        while True:
            try:
                archive = self.manifest(checkpoint_id).archive
                break
            except CheckpointNotFoundError:
                alive()
                _ask(asked=False)
                pause("follow")
        if archive.prefix != prefix:
            raise ArchiveDamagedError(prefix, "it is another one")
        yield from self.read(archive, progress=progress)


class Hosts:
    """In the place of the registry: which hosts live."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.away: set[str] = set()

    def online(self) -> list[str]:
        return [name for name in self.names if name not in self.away]

    def canary(self, _: str) -> Canary:
        return Canary()

    def rate(self, _: str) -> None:
        return None

    def report_rate(self, _: str, __: float) -> None:
        return


class WatchedRecords(Records):
    """Records whose every change is judged. ``faults`` says what was wrong."""

    faults: list[str]
    claims: Counter[tuple[str, int]]

    def update(
        self, workflow_id: str, change: Change, *, ring: bool = False, placing: bool = False
    ) -> Workflow:
        pause("record")
        seen: list[Workflow] = []

        def watched(old: Workflow) -> Workflow:
            new = change(old)
            seen[:] = [old, new]
            return new

        result = super().update(workflow_id, watched, ring=ring, placing=placing)
        self._judge(*seen)
        _ask(asked=True)
        return result

    def rung(self, *, wait_seconds: int) -> str | None:
        return super().rung(wait_seconds=wait_seconds) if self._redis.llen(BELL) else None

    def _judge(self, old: Workflow, new: Workflow) -> None:
        if new.epoch not in {old.epoch, old.epoch + 1}:
            self.faults.append(f"epoch {old.epoch} became {new.epoch}")
        if len(new.steps) > len(old.steps) and new.epoch == old.epoch:
            self.faults.append("a plan grew")
        if old.state is State.ENDED and new != old:
            reopened = old.outcome is Outcome.FAILED and new.epoch == old.epoch + 1
            if not reopened:
                self.faults.append(f"ended {old.outcome} and changed")
        for index, (before, after) in enumerate(zip(old.steps, new.steps, strict=False)):
            if before.state in OVER and before != after:
                self.faults.append(f"step {index} was {before.state} and changed")
            if before.state is not StepState.RUNNING and after.state is StepState.RUNNING:
                self.claims[new.id, index] += 1
                if self.claims[new.id, index] > 1:
                    self.faults.append(f"step {index} was run twice")
