"""What must hold at every moment, and what when everything has healed."""

from __future__ import annotations

from tasks.models import Kind, Outcome, State, Unit
from tasks.records import WORKLOAD
from tests.unit.tasks.model.world import Model

BACK = {Outcome.RESUMED, Outcome.CANCELLED, Outcome.UNTOUCHED, Outcome.CHECKPOINTED}


def holds(model: Model) -> None:
    """At every moment."""
    assert not model.records.faults, model.records.faults
    last, running, copies = model.last, model.running(), model.copies()
    assert len(running) <= 1, f"copies run on {running}"
    holder = model.redis.get(f"{WORKLOAD}web")
    ended = last.state is State.ENDED  # and who had it may have to be let go of
    assert holder in ({None, last.id.encode()} if ended else {last.id.encode()})
    arrived = last.done(Unit.UP) or last.done(Unit.RESTORE)
    if last.kind is Kind.MIGRATE and arrived:
        assert running == [arrived.host], "past its commit point it was taken back"
    lost = last.options.cold and last.source_stopped
    if not last.done(Unit.UP) and not lost:
        kept = [c for c in copies.values() if model.memory in {c.memory, c.checkpoint}]
        assert kept, "the memory is lost"


def heals(model: Model) -> None:
    """When all that was broken works again, everything ends, and ends well."""
    model.settle()
    holds(model)
    assert not model.redis.exists(f"{WORKLOAD}web")
    assert not model.redis.keys("podferry:stated:*")
    _ended_well(model)
    if model.last.outcome is Outcome.FAILED and model.last.source_stopped:
        model.resume()
        model.settle()
        holds(model)
        assert model.last.outcome in BACK | ({Outcome.COLD} if model.last.options.cold else set())
        _ended_well(model)


def _ended_well(model: Model) -> None:
    last, copies = model.last, model.copies()
    assert last.outcome is not None
    where = {host: copies[host].memory == model.memory for host in model.running()}
    expected = {
        Outcome.MOVED: [{last.target: True}],
        Outcome.COLD: [{last.target: False}],
        Outcome.FAILED: [{}, {last.source: True}],
    }.get(last.outcome, [{last.source: True}])
    at_home = last.options.cold and not last.done(Unit.UP)
    if at_home and last.source_stopped:  # it was stopped, and started again
        expected += [{last.source: False}]
    if last.outcome is Outcome.FAILED and last.permit and last.permit in last.reason:
        expected += [{last.permit: True}, {last.permit: False}]
    assert where in expected, f"{last.outcome}, and it runs on {where}"
    if last.outcome is Outcome.FAILED:
        assert last.reason
        assert last.next_command or not last.source_stopped
    if last.outcome in {Outcome.MOVED, Outcome.COLD} and not at_home:
        assert last.id not in model.cancelled, "cancelled, and moved nevertheless"
        assert last.source not in copies or "was not removed" in last.reason
