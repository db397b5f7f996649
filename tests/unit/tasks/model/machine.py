"""What may happen to a fleet in any order, and what must hold after each of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime import CheckpointFailedError, EngineError, EngineUnavailableError, RestoreFailedError
from tasks.errors import WorkloadBusyError
from tasks.models import Fallback, Kind, OnDeadline, Options, Outcome, State, Unit, Workflow
from tasks.records import WORKLOAD
from tests.unit.tasks.model.actors import Actor
from tests.unit.tasks.model.world import HOSTS, Model

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
    retries=st.integers(0, 2),
    up_attempts=st.integers(1, 2),
)
BACK = {Outcome.RESUMED, Outcome.CANCELLED, Outcome.UNTOUCHED, Outcome.CHECKPOINTED}


class Machine(RuleBasedStateMachine):
    """One run. ``executed`` counts the rules of all of them."""

    executed = 0
    model: Model

    def __init__(self) -> None:
        super().__init__()
        Machine.model = self.model = Model()
        self.memory = self.model.memory
        self.cancelled: set[str] = set()
        self.began = False

    @initialize(
        kind=st.sampled_from([Kind.MIGRATE, Kind.MIGRATE, Kind.MIGRATE, Kind.CHECKPOINT]),
        options=OPTIONS,
        moments=st.sampled_from([0, 60, 60, 80]),
    )
    def first(self, kind: Kind, options: Options, moments: int) -> None:
        self.model.ask(kind, "b", options, 300)
        self.model.answer()
        for _ in range(moments):  # most of what is worth a look comes after the first steps
            self._step()

    def _step(self) -> None:
        model = self.model
        if model.actors:
            model.advance(model.actors[0])
        elif model.mail.bag:
            model.take(model.mail.bag.pop(0))

    # what people do

    @rule(to=st.sampled_from(HOSTS), options=OPTIONS, seconds=st.sampled_from([30, 600]))
    def ask(self, to: str, options: Options, seconds: int) -> None:
        model = self.model
        running = model.running()
        if model.live():
            try:
                model.ask(Kind.MIGRATE, to, options, seconds)
            except WorkloadBusyError:
                return
            raise AssertionError("two at once")
        if running and to not in running:
            self.memory = model.copies()[running[0]].memory
            model.ask(Kind.MIGRATE, to, options, seconds)

    @rule()
    def cancel(self) -> None:
        if self.model.cancel(self.last.id):
            self.cancelled.add(self.last.id)

    @rule()
    def resume(self) -> None:
        if self.last.outcome is Outcome.FAILED:
            self.model.resume(self.last.id)

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

    @precondition(lambda self: self.model.awake())
    @rule(which=WHICH, fault=st.sampled_from(FAULTS), late=st.booleans())
    def fail(self, which: int, fault: Exception, late: bool) -> None:
        late = late and not isinstance(fault, EngineUnavailableError)
        self.model.advance(self._awake(which), fault, late=late)

    @precondition(lambda self: self.model.actors)
    @rule(which=WHICH)
    def kill(self, which: int) -> None:
        actors = self.model.actors
        actors.pop(which % len(actors)).kill()

    @precondition(lambda self: self.model.awake())
    @rule(which=WHICH)
    def fall_asleep(self, which: int) -> None:
        self._awake(which).asleep = True

    @precondition(lambda self: any(actor.asleep for actor in self.model.actors))
    @rule(which=WHICH)
    def wake_up(self, which: int) -> None:
        asleep = [actor for actor in self.model.actors if actor.asleep]
        asleep[which % len(asleep)].asleep = False

    @rule(host=st.sampled_from(HOSTS))
    def go_away_or_come_back(self, host: str) -> None:
        self.model.hosts.away ^= {host}

    @rule(seconds=st.sampled_from([3, 16, 31, 65, 700]))
    def pass_time(self, seconds: int) -> None:
        self.model.pass_time(seconds)

    @rule()
    def reconcile(self) -> None:
        self.model.reconcile()

    @rule()
    def answer(self) -> None:
        self.model.answer()

    def _awake(self, which: int) -> Actor:
        awake = self.model.awake()
        return awake[which % len(awake)]

    # what must hold

    @property
    def last(self) -> Workflow:
        return self.model.records.get(self.model.ids[-1])

    @invariant()
    def holds(self) -> None:
        Machine.executed += self.began
        self.began = bool(self.model.ids)
        assert not self.model.records.faults, self.model.records.faults
        if not self.began:
            return
        last, running, copies = self.last, self.model.running(), self.model.copies()
        assert len(running) <= 1, f"copies run on {running}"
        holder = self.model.redis.get(f"{WORKLOAD}web")
        assert holder == (None if last.state is State.ENDED else last.id.encode())
        arrived = last.done(Unit.UP) or last.done(Unit.RESTORE)
        if last.kind is Kind.MIGRATE and arrived:
            assert running == [arrived.host], "past its commit point it was taken back"
        if not last.done(Unit.UP):
            kept = [c for c in copies.values() if self.memory in {c.memory, c.checkpoint}]
            assert kept, "the memory is lost"

    def teardown(self) -> None:
        try:
            if self.began:
                self._heal()
        finally:
            self.model.close()

    def _heal(self) -> None:
        self.model.settle()
        self.holds()
        self._ended_well()
        if self.last.outcome is Outcome.FAILED and self.last.source_stopped:
            self.model.resume(self.last.id)
            self.model.settle()
            self.holds()
            assert self.last.outcome in BACK
            self._ended_well()

    def _ended_well(self) -> None:
        last, running, copies = self.last, self.model.running(), self.model.copies()
        where = {host: copies[host].memory == self.memory for host in running}
        what: Any = {
            Outcome.MOVED: [{last.target: True}],
            Outcome.COLD: [{last.target: False}],
            Outcome.FAILED: [{}, {last.source: True}],
        }
        expected = what.get(last.outcome, [{last.source: True}])
        assert where in expected, f"{last.outcome}, and it runs on {where}"
        if last.outcome is Outcome.FAILED:
            assert last.reason
            assert last.next_command or not last.source_stopped
        if last.outcome in {Outcome.MOVED, Outcome.COLD}:
            assert last.id not in self.cancelled, "cancelled, and moved nevertheless"
            assert last.source not in copies or "was not removed" in last.reason
