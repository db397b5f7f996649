"""What may happen to a fleet in any order, and what must hold after each of it."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime import CheckpointFailedError, EngineError, EngineUnavailableError, RestoreFailedError
from tasks.errors import WorkloadBusyError
from tasks.models import (
    Fallback,
    Kind,
    OnDeadline,
    Options,
    Outcome,
    StepState,
    Unit,
    Workflow,
)
from tests.unit.tasks.model.actors import Actor
from tests.unit.tasks.model.checks import heals, holds
from tests.unit.tasks.model.parts import CALLS
from tests.unit.tasks.model.world import HOSTS, Model

FALLIBLE = {*CALLS, "checkpoint", "dumped", "cold_copy", "stopped", "publish"}
WHICH = st.integers(0, 5)
FAULTS = (
    EngineUnavailableError("/run/podman.sock", "connection refused"),
    EngineError("the call", "no space left on device"),
    RestoreFailedError("web", "criu failed"),
    CheckpointFailedError("web", "criu failed"),
)
LADDERS = (
    (),
    (Fallback.RESUME,),
    (Fallback.COLD, Fallback.RESUME),
    (Fallback.ELSEWHERE, Fallback.RESUME),
)
OPTIONS = st.builds(
    Options,
    fallback=st.sampled_from(LADDERS),
    on_deadline=st.sampled_from(OnDeadline),
    retries=st.sampled_from([0, 0, 1, 2]),
    up_attempts=st.integers(1, 2),
    cold=st.sampled_from([False, False, True]),
)
KINDS = st.sampled_from([Kind.MIGRATE, Kind.MIGRATE, Kind.MIGRATE, Kind.CHECKPOINT])
SECONDS = st.sampled_from([3600, 300])
BEGINS = st.sampled_from([Unit.CHECKPOINT, Unit.RESTORE, Unit.DESCRIBE])


class Machine(RuleBasedStateMachine):
    """One run. ``executed`` counts the rules of all of them."""

    executed = 0
    model: Model

    def __init__(self) -> None:
        super().__init__()
        Machine.model = self.model = Model()
        self.began = False

    @initialize(kind=KINDS, options=OPTIONS, seconds=SECONDS, begins=BEGINS)
    def first(self, kind: Kind, options: Options, seconds: int, begins: Unit) -> None:
        cold = options.cold and kind is Kind.MIGRATE
        asked = options.model_copy(update={"cold": cold})
        self.model.ask(kind, "b", asked, seconds)
        self._up_to(begins)

    def _up_to(self, unit: Unit) -> None:
        """Let it go on until a unit has begun: what is worth a look comes after the first."""
        for _ in range(60):
            began = [s for s in self.last.steps if s.state is not StepState.PENDING]
            if unit in {step.unit for step in began} or self.last.ended:
                return
            self.model.go_round()

    # what people do

    @precondition(lambda self: self.last.ended)
    @rule(to=st.sampled_from(HOSTS), options=OPTIONS, seconds=SECONDS, begins=BEGINS)
    def ask(self, to: str, options: Options, seconds: int, begins: Unit) -> None:
        model, running = self.model, self.model.running()
        if running and to not in running:
            model.ask(Kind.MIGRATE, to, options, seconds)
            self._up_to(begins)

    @precondition(lambda self: not self.last.ended)
    @rule(what=st.sampled_from(["another", "cancel", "nothing", "nothing"]))
    def change_ones_mind(self, what: str) -> None:
        if what == "another":
            with pytest.raises(WorkloadBusyError):
                self.model.ask(Kind.MIGRATE, "c", Options(), 300)
        elif what == "cancel":
            self.model.cancel()

    @precondition(lambda self: self.last.outcome is Outcome.FAILED and self.last.source_stopped)
    @rule()
    def resume(self) -> None:
        self.model.resume()

    # what workers and messages do

    @precondition(lambda self: self.model.mail.bag)
    @rule(which=WHICH, twice=st.booleans())
    def deliver(self, which: int, twice: bool) -> None:
        bag = self.model.mail.bag
        message = bag[which % len(bag)]
        if self.model.host_of(message) in self.model.hosts.away:
            return
        if not twice:
            bag.remove(message)
        self.model.take(message)

    @precondition(lambda self: self.model.mail.bag)
    @rule(which=WHICH)
    def lose(self, which: int) -> None:
        bag = self.model.mail.bag
        del bag[which % len(bag)]

    @precondition(lambda self: self.model.awake())
    @rule(which=WHICH, moments=st.integers(1, 6))
    def work(self, which: int, moments: int) -> None:
        actor = self._awake(which)
        for _ in range(moments):
            self.model.advance(actor)

    @precondition(lambda self: self.model.awake())
    @rule(which=WHICH)
    def work_to_the_end(self, which: int) -> None:
        actor = self._awake(which)
        for _ in range(40):
            self.model.advance(actor)

    @precondition(lambda self: any(actor.at in FALLIBLE for actor in self.model.awake()))
    @rule(which=WHICH, fault=st.sampled_from(FAULTS), late=st.booleans())
    def fail(self, which: int, fault: Exception, late: bool) -> None:
        late = late and not isinstance(fault, EngineUnavailableError)
        actors = [actor for actor in self.model.awake() if actor.at in FALLIBLE]
        self.model.advance(actors[which % len(actors)], fault, late=late)

    @precondition(lambda self: self.model.actors)
    @rule(which=WHICH)
    def kill(self, which: int) -> None:
        actors = self.model.actors
        actors.pop(which % len(actors)).kill()

    @precondition(lambda self: self.model.awake())
    @rule(which=WHICH)
    def fall_asleep(self, which: int) -> None:
        actor = self._awake(which)
        actor.asleep = not actor.asked

    @precondition(lambda self: self.model.awake())
    @rule(which=WHICH, looks=st.integers(1, 6))
    def oversleep(self, which: int, looks: int) -> None:
        """The others go on without it."""
        self.fall_asleep(which)
        for _ in range(looks):
            self.carry_on_when_time_has_passed(rounds=12)

    @precondition(lambda self: any(actor.asleep for actor in self.model.actors))
    @rule(which=WHICH)
    def wake_up(self, which: int) -> None:
        asleep = [actor for actor in self.model.actors if actor.asleep]
        actor = asleep[which % len(asleep)]
        actor.asleep = False
        for _ in range(40):
            self.model.advance(actor)
            holds(self.model)

    @precondition(lambda self: not self.model.hosts.away)
    @rule(host=st.sampled_from(HOSTS))
    def go_away(self, host: str) -> None:
        self.model.lose_host(host)

    @precondition(lambda self: self.model.hosts.away)
    @rule()
    def come_back(self) -> None:
        self.model.hosts.away.clear()

    @rule(seconds=st.sampled_from([3, 16, 31, 65, 700]), lookers=st.integers(0, 2))
    def pass_time(self, seconds: int, lookers: int) -> None:
        self.model.pass_time(seconds)
        for _ in range(lookers):
            self.model.reconcile()

    @rule(rounds=st.integers(1, 12))
    def carry_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.model.go_round()

    @rule(rounds=st.integers(1, 12))
    def carry_on_when_time_has_passed(self, rounds: int) -> None:
        self.model.pass_time(31)
        self.model.reconcile()
        self.carry_on(rounds)

    def _awake(self, which: int) -> Actor:
        awake = self.model.awake()
        return awake[which % len(awake)]

    @property
    def last(self) -> Workflow:
        return self.model.last

    @invariant()
    def judge(self) -> None:
        if self.model.ids:
            Machine.executed += self.began
            self.began = True
            holds(self.model)

    def teardown(self) -> None:
        try:
            if self.began:
                heals(self.model)
        finally:
            self.model.close()
