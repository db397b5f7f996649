from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from runtime import (
    ContainerState,
    ExecFailedError,
    ExecResult,
    FakeRuntime,
    HealthCheck,
    RunSpec,
)
from runtime.fake_state import FakeContainer
from tasks.context import Context
from tasks.errors import CancelledError, InvalidRequestError, UnhealthyError
from tasks.models import Kind, Outcome, Unit, Workflow, new_workflow
from tasks.models import Step as StepRecord
from tasks.step import Step
from tasks.units import engine
from tasks.units.engine import health_check, wait_healthy
from tests.unit.tasks.world import IMAGE, World

PROBE = ("ready",)
GOOD, BAD = ExecResult(exit_code=0, output=b""), ExecResult(exit_code=7, output=b"")
PATIENCE_SECONDS = 20


@dataclass
class Clock:
    """Stands for the module ``time``: sleeping is what makes it go on."""

    now: float = 1000.0
    slept: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept()


@dataclass
class Probed:
    """A container whose check is asked; ``asked`` are the moments, from its start."""

    step: Step
    clock: Clock
    runtime: FakeRuntime
    container: FakeContainer
    asked: list[float] = field(default_factory=list)

    def answer(self, answer: Callable[[float], ExecResult]) -> None:
        """Have the check answer what ``answer`` says for a moment."""
        began = self.clock.now

        def probe(_: FakeContainer) -> ExecResult:
            self.asked.append(round(self.clock.now - began, 3))
            return answer(self.asked[-1])

        self.runtime.commands[PROBE] = probe

    def wait(self, *, restored: bool = False) -> None:
        wait_healthy(self.step, self.container.id, restored=restored)


Make = Callable[[HealthCheck], Probed]


@pytest.fixture
def probed(context: Context, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(check: HealthCheck) -> Probed:
        runtime, clock = FakeRuntime(), Clock()
        monkeypatch.setattr(engine, "time", clock)
        runtime.images[IMAGE.id] = IMAGE
        container = runtime.run(RunSpec(name="web", image=IMAGE.names[0], health=check))
        runtime.start(container)
        made = Probed(
            step_of(context, runtime), clock, runtime, runtime.containers_by_id[container]
        )
        made.answer(lambda _: BAD)
        return made

    return make


def step_of(context: Context, runtime: FakeRuntime) -> Step:
    record = StepRecord(unit=Unit.UP, host="a", epoch=0)
    workflow: Workflow = new_workflow(Kind.UP, "web", target="a").model_copy(
        update={"steps": (record,)}
    )
    return Step(replace(context, runtime=runtime), workflow, 0, "me")


def check(**changes: float) -> HealthCheck:
    return HealthCheck.model_validate(
        {
            "command": PROBE,
            "interval_seconds": 10,
            "retries": 3,
            "start_interval_seconds": 2,
            **changes,
        }
    )


def test_a_restored_container_is_asked_at_once_and_every_failure_counts(probed: Make) -> None:
    web = probed(check(start_period_seconds=1000))

    complaint = "'web' .* failed 3 times in a row, .* it exited with code 7$"
    with pytest.raises(UnhealthyError, match=complaint):
        web.wait(restored=True)

    assert web.asked == [0, 10, 20]


def test_failures_in_the_start_period_do_not_count(probed: Make) -> None:
    web = probed(check(start_period_seconds=25))

    with pytest.raises(UnhealthyError):
        web.wait()

    assert web.asked == [*range(2, 25, 2), 25, 35, 45]


def test_a_success_ends_the_start_period(probed: Make) -> None:
    web = probed(check(start_period_seconds=1000))
    web.answer(lambda moment: GOOD if moment > 5 else BAD)

    web.wait()

    assert web.asked == [2, 4, 6]


def test_nothing_counts_before_docker_would_ask_first(probed: Make) -> None:
    web = probed(check(start_period_seconds=0))

    with pytest.raises(UnhealthyError):
        web.wait()

    assert web.asked == [2, 4, 6, 8, 10, 20, 30]


def test_it_is_not_asked_more_often_than_its_interval(probed: Make) -> None:
    web = probed(check(interval_seconds=1, start_period_seconds=3))

    with pytest.raises(UnhealthyError):
        web.wait()

    assert web.asked == [1, 2, 3, 4, 5]


def test_the_last_try_can_still_succeed(probed: Make) -> None:
    web = probed(check())
    web.answer(lambda moment: GOOD if moment == 20 else BAD)

    web.wait(restored=True)

    assert web.asked == [0, 10, 20]


def test_the_timeout_is_the_engines_to_keep(probed: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    web, given = probed(check(timeout_seconds=0.25, retries=1)), []

    def exec_(*_: object, timeout_seconds: float) -> ExecResult:
        given.append(timeout_seconds)
        raise ExecFailedError("web", "ready", f"it did not end within {timeout_seconds:g} s")

    monkeypatch.setattr(web.runtime, "exec", exec_)

    with pytest.raises(UnhealthyError, match=r"because it did not end within 0\.25 s"):
        web.wait(restored=True)

    assert given == [0.25]


def test_without_a_check_it_is_enough_that_it_runs(probed: Make) -> None:
    web = probed(HealthCheck())
    began = web.clock.now

    web.wait()

    assert web.clock.now == began


@pytest.mark.parametrize("command", [(), PROBE])
def test_what_does_not_run_is_not_healthy(probed: Make, command: tuple[str, ...]) -> None:
    web = probed(HealthCheck(command=command))
    web.container.state, web.container.exit_code = ContainerState.EXITED, 137

    with pytest.raises(UnhealthyError, match=r"it is exited \(exit code 137\)"):
        web.wait()


@pytest.mark.parametrize("changes", [{"start_period_seconds": 900}, {"interval_seconds": 900}])
@pytest.mark.parametrize("restored", [False, True])
def test_a_cancel_is_heard_while_it_waits(
    probed: Make, changes: dict[str, float], restored: bool
) -> None:
    web = probed(check(start_interval_seconds=900, **changes))
    began = web.clock.now
    web.clock.slept = lambda: setattr(web.step, "_stop", CancelledError())

    with pytest.raises(CancelledError):
        web.wait(restored=restored)

    assert web.clock.now - began < 1


def test_a_cancel_is_heard_while_a_probe_hangs(probed: Make) -> None:
    web, hangs = probed(check()), threading.Event()

    def probe(_: FakeContainer) -> ExecResult:
        web.step._stop = CancelledError()
        hangs.wait(PATIENCE_SECONDS)
        return GOOD

    web.runtime.commands[PROBE] = probe
    try:
        with pytest.raises(CancelledError):
            web.wait(restored=True)
    finally:
        hangs.set()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (None, check()),
        ("", check()),
        ("test -e /ok", HealthCheck(command=("/bin/sh", "-c", "test -e /ok"))),
        ("{ test -e /ok; }", HealthCheck(command=("/bin/sh", "-c", "{ test -e /ok; }"))),
        (
            '{"test": ["CMD", "ready"], "interval": "5s", "start_period": "1m30s"}',
            HealthCheck(
                command=PROBE,
                interval_seconds=5,
                timeout_seconds=30,
                retries=3,
                start_period_seconds=90,
            ),
        ),
        ('{"disable": true}', HealthCheck()),
    ],
)
def test_the_label_comes_before_the_healthcheck(label: str | None, expected: HealthCheck) -> None:
    labels = {} if label is None else {"podferry.health": label}

    assert health_check("web", RunSpec(name="web", image="i", labels=labels, health=check())) == (
        expected
    )


@pytest.mark.parametrize("label", ['{"test": "x", "interval": 5}', '{"test": "x"'])
def test_a_label_that_cannot_be_read_is_told_before_anything_is_touched(
    context: Context, label: str
) -> None:
    world = World(context)
    spec = world.start_web().spec.model_copy(update={"labels": {"podferry.health": label}})
    source = world.on("a")
    assert source is not None
    source.spec = spec

    ended = world.migrate()

    assert ended.outcome is Outcome.UNTOUCHED
    assert "label podferry.health of 'web': " in ended.reason
    world.hosts["b"].images[IMAGE.id] = IMAGE
    up = new_workflow(Kind.UP, "web", target="b")
    ended = world.run(up, spec.model_dump_json().encode())
    assert ended.outcome is Outcome.FAILED
    assert "label podferry.health of 'web': " in ended.reason
    assert world.hosts["b"].history == []


def test_a_label_of_another_kind_is_told_as_a_bad_request() -> None:
    spec = RunSpec(
        name="web", image="i", labels={"podferry.health": '{"test": "x", "retries": {}}'}
    )

    with pytest.raises(InvalidRequestError, match=r"healthcheck\.retries wants a count"):
        health_check("web", spec)
