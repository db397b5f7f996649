"""A target reads a checkpoint while its source still writes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from runtime import (
    CheckpointFailedError,
    CheckpointSpec,
    CheckpointStream,
    ContainerState,
    FakeRuntime,
    RestoreFailedError,
)
from tasks.context import Context
from tasks.errors import StepFailedError, SupersededError
from tasks.models import (
    Kind,
    Options,
    Outcome,
    State,
    StepError,
    StepState,
    Unit,
    Workflow,
    new_workflow,
)
from tasks.plans import planned
from tasks.step import run_step
from tasks.units import UNITS
from tasks.workflows import begin, decide
from tests.unit.tasks.world import World

CHECKPOINT = 4  # the index of the step in a migration's plan
PATIENCE_SECONDS = 20.0


class SlowSource:
    """The source's engine, whose archive stops in the middle until ``flow`` or ``break_off``."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._checkpoint = runtime.checkpoint
        self._go, self._error = threading.Event(), False
        self.half_way = threading.Event()

    def flow(self) -> None:
        self._go.set()

    def break_off(self) -> None:
        self._error = True
        self._go.set()

    @contextmanager
    def checkpoint(self, container: str, spec: CheckpointSpec) -> Iterator[CheckpointStream]:
        with self._checkpoint(container, spec) as stream:
            yield CheckpointStream(self._slowly(stream), stream.statistics)

    def _slowly(self, stream: CheckpointStream) -> Iterator[bytes]:
        data = b"".join(stream)
        yield data[: len(data) // 2]
        self.half_way.set()
        assert self._go.wait(PATIENCE_SECONDS)
        if self._error:
            raise CheckpointFailedError("web", "the disk is full")
        yield data[len(data) // 2 :]


class Relay:
    """A migration whose checkpoint and restore run side by side, each in a thread."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World(replace(context, lease_seconds=2.0))
        self.memory = self.world.start_web().memory
        self.source = SlowSource(self.world.hosts["a"])
        monkeypatch.setattr(self.world.hosts["a"], "checkpoint", self.source.checkpoint)
        self.id = ""
        self.ready = threading.Event()

    def begin(self, options: Options | None = None) -> None:
        """Run all steps before the checkpoint."""
        workflow = new_workflow(
            Kind.MIGRATE,
            "web",
            source="a",
            target="b",
            options=options,
            checkpoint_id="web/20260101T000000Z-000000",
        )
        self.id = workflow.id
        self.world.context.records.create(workflow)
        assert begin(self.world.context, self.id) is not None
        for index in range(CHECKPOINT):
            self.step(index)

    def step(self, index: int, on_ready: Callable[[], None] | None = None) -> None:
        plan = self.look()
        step = plan.steps[index]
        context = replace(self.world.context, runtime=self.world.hosts[step.host])
        run_step(context, self.id, index, plan.epoch, UNITS[step.unit], on_ready=on_ready)

    def in_background(self, index: int) -> threading.Thread:
        def run() -> None:
            with suppress(StepFailedError, SupersededError):
                self.step(index, self.ready.set)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def both(self) -> tuple[threading.Thread, threading.Thread]:
        """Start the checkpoint, and the restore as soon as it may begin."""
        checkpoint = self.in_background(CHECKPOINT)
        assert self.ready.wait(PATIENCE_SECONDS)
        restore = self.in_background(CHECKPOINT + 1)
        assert self.source.half_way.wait(PATIENCE_SECONDS)
        limit = time.monotonic() + PATIENCE_SECONDS
        while self.look().steps[CHECKPOINT + 1].state is StepState.PENDING:
            assert time.monotonic() < limit, "the restore does not begin"
            time.sleep(0.01)
        return checkpoint, restore

    def look(self) -> Workflow:
        return self.world.context.records.get(self.id)

    def fall_back(self) -> Workflow:
        """Take rungs until the workflow has ended."""
        plan = decide(self.world.context, self.id, self.look().epoch)
        while plan is not None and plan.state is not State.ENDED:
            plan = self.world.run_plan(plan)
        return self.look()


@pytest.fixture
def relay(context: Context, monkeypatch: pytest.MonkeyPatch) -> Relay:
    return Relay(context, monkeypatch)


def test_the_target_has_begun_before_the_source_is_done_and_runs_only_after(relay: Relay) -> None:
    relay.begin()
    checkpoint, restore = relay.both()
    checkpoint_step, restore_step = relay.look().steps[CHECKPOINT : CHECKPOINT + 2]
    assert (checkpoint_step.state, restore_step.state) == (StepState.RUNNING, StepState.RUNNING)
    assert relay.world.on("b") is None
    relay.source.flow()
    checkpoint.join(PATIENCE_SECONDS)
    restore.join(PATIENCE_SECONDS)
    relay.step(CHECKPOINT + 2)
    assert relay.look().outcome is Outcome.MOVED
    copy = relay.world.on("b")
    assert copy is not None
    assert copy.memory == relay.memory


def test_a_source_that_breaks_off_leaves_nothing_on_the_target(relay: Relay) -> None:
    relay.begin()
    checkpoint, restore = relay.both()
    relay.source.break_off()
    checkpoint.join(PATIENCE_SECONDS)
    restore.join(PATIENCE_SECONDS)
    failed = relay.look().steps[CHECKPOINT + 1].error
    assert failed is not None
    assert failed.type == "SourceGoneError"
    ended = relay.fall_back()
    assert ended.outcome is Outcome.RESUMED
    assert ended.reason == "checkpoint on a: checkpoint of 'web' failed: the disk is full"
    assert relay.world.on("b") is None
    back = relay.world.on("a")
    assert back is not None
    assert (back.state, back.memory) == (ContainerState.RUNNING, relay.memory)


def test_no_rung_is_taken_while_the_other_step_runs(relay: Relay) -> None:
    relay.begin()
    relay.world.hosts["b"].faults["ping"] = [RestoreFailedError("web", "no")]
    checkpoint, restore = relay.both()
    restore.join(PATIENCE_SECONDS)
    assert relay.look().steps[CHECKPOINT + 1].state is StepState.FAILED
    assert decide(relay.world.context, relay.id, 1) is None
    assert relay.look().epoch == 1
    relay.source.flow()
    checkpoint.join(PATIENCE_SECONDS)
    ended = relay.fall_back()
    assert ended.outcome is Outcome.COLD
    assert ended.done(Unit.UP) is not None


def test_a_copy_that_runs_is_kept_though_its_checkpoint_ended_badly(relay: Relay) -> None:
    relay.begin()
    checkpoint, restore = relay.both()
    relay.source.flow()
    checkpoint.join(PATIENCE_SECONDS)
    restore.join(PATIENCE_SECONDS)

    def lose(workflow: Workflow) -> Workflow:
        lost = workflow.steps[CHECKPOINT].failed(StepError(type="X", message="Redis was away"))
        return workflow.with_step(CHECKPOINT, lost)

    relay.world.context.records.update(relay.id, lose)
    ended = relay.fall_back()
    assert (ended.outcome, relay.world.on("a")) == (Outcome.MOVED, None)
    copy = relay.world.on("b")
    assert copy is not None
    assert copy.memory == relay.memory


def test_a_worker_that_wakes_up_late_makes_no_second_copy_run(relay: Relay) -> None:
    relay.begin()
    checkpoint, restore = relay.both()
    records = relay.world.context.records

    def given_up(workflow: Workflow) -> Workflow:
        return planned(workflow, ((Unit.DISCARD, "b"), (Unit.RESUME, "a")))

    records.update(relay.id, given_up)
    relay.source.flow()
    checkpoint.join(PATIENCE_SECONDS)
    restore.join(PATIENCE_SECONDS)
    assert relay.world.on("b") is None
    assert relay.world.context.archives.checkpoints("web") == []
    plan: Workflow | None = relay.look()
    while plan is not None and plan.state is not State.ENDED:
        plan = relay.world.run_plan(plan)
    back = relay.world.on("a")
    assert back is not None
    assert (back.state, back.memory) == (ContainerState.RUNNING, relay.memory)


def test_a_source_that_wakes_up_late_is_not_stopped_again(relay: Relay) -> None:
    relay.begin()

    def given_up() -> None:
        relay.world.context.records.update(relay.id, lambda w: planned(w, ((Unit.RESUME, "a"),)))

    relay.source.flow()
    with pytest.raises(SupersededError):
        relay.step(CHECKPOINT, given_up)
    source = relay.world.on("a")
    assert source is not None
    assert (source.state, source.memory) == (ContainerState.RUNNING, relay.memory)
    assert source.spec.restart.name == "always"
