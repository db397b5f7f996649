"""What is worth most leaves first, what has no time goes cold, and no host is given too much."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drains.models import Drain, DrainOptions, Item, ItemState, Method, Order, new_drain
from tasks.drains.plan import USED, makespan, ordered, placed, reservations, timed
from tasks.drains.rates import COLD_SECONDS, Rates, crowded, rates
from tasks.hosts import HostState
from tasks.models import (
    AT_ONCE,
    Kind,
    Need,
    OnDeadline,
    Step,
    StepState,
    Unit,
    Workflow,
    new_workflow,
    now,
)
from tasks.placement import Candidate

MIB = 1 << 20
RATES = Rates(fixed=1.0, per_byte=1 / (64 * MIB), cold=2.0)

sizes = st.lists(st.integers(min_value=1, max_value=512), min_size=1, max_size=24)
lanes = st.integers(min_value=1, max_value=4)


def item(number: int, mib: int = 64, **fields: object) -> Item:
    name = f"c{number}"
    need = Need(source="a", names=(name,), memory_bytes=mib * MIB)
    one = Item(
        workload=name, containers=(name,), source="a", need=need, memory_bytes=mib * MIB, target="b"
    )
    return one.changed(**fields)


def drain_of(*items: Item, **options: object) -> Drain:
    drain = new_drain("a", DrainOptions.model_validate(options))
    return drain.model_copy(update={"items": items})


def by_name(drain: Drain) -> dict[str, Item]:
    return {one.workload: one for one in drain.items}


def host(name: str, free_mib: int) -> Candidate:
    return Candidate(
        host=name,
        state=HostState.ACTIVE,
        memory_total_bytes=1024 * MIB,
        memory_free_bytes=free_mib * MIB,
    )


def test_without_a_deadline_all_go_live() -> None:
    planned = timed(drain_of(*(item(n) for n in range(4)), max_parallel=2), RATES, None)
    assert {one.method for one in planned.items} == {Method.LIVE}
    assert makespan(planned.items) == 2 * RATES.live(64 * MIB, parallel=2)


def test_the_most_valuable_memory_is_saved_and_the_rest_goes_cold_with_the_reason() -> None:
    drain = drain_of(item(1, mib=256), item(2, mib=512), max_parallel=1)
    planned = by_name(timed(drain, RATES, 14.0))
    assert (planned["c2"].method, planned["c1"].method) == (Method.LIVE, Method.COLD)
    assert "no time for its memory" in planned["c1"].because


def test_what_went_cold_for_want_of_time_goes_live_when_there_is_some() -> None:
    drain = timed(drain_of(item(1), max_parallel=1), RATES, 0.5)
    assert by_name(drain)["c1"].method is Method.COLD
    again = by_name(timed(drain, RATES, 100.0))["c1"]
    assert (again.method, again.because) == (Method.LIVE, "")


def test_what_cannot_be_checkpointed_stays_cold() -> None:
    drain = drain_of(item(1, method=Method.COLD, may_go_live=False, because="a GPU"))
    again = by_name(timed(drain, RATES, 100.0))["c1"]
    assert (again.method, again.because) == (Method.COLD, "a GPU")
    assert again.seconds == RATES.cold * crowded(AT_ONCE)


def test_what_must_keep_its_memory_never_goes_cold() -> None:
    planned = timed(drain_of(item(1, mib=512, may_go_cold=False)), RATES, 0.1)
    assert by_name(planned)["c1"].method is Method.LIVE


@settings(deadline=None)
@given(sizes, lanes, st.floats(min_value=0.1, max_value=120))
def test_a_plan_under_a_deadline_keeps_it_where_that_can_be(
    mibs: list[int], parallel: int, left: float
) -> None:
    drain = drain_of(*(item(n, mib) for n, mib in enumerate(mibs)), max_parallel=parallel)
    planned = timed(drain, RATES, left)
    live = [one for one in planned.items if one.method is Method.LIVE]
    never = tuple(one.changed(method=Method.COLD, may_go_live=False) for one in drain.items)
    cold = timed(drain.model_copy(update={"items": never}), RATES, left)
    assert not live or makespan(planned.items) <= max(left * USED, makespan(cold.items))
    assert all(one.seconds <= left for one in live)
    assert {one.workload for one in planned.items} == {one.workload for one in drain.items}


@settings(deadline=None)
@given(sizes, lanes, st.floats(min_value=0.1, max_value=120))
def test_without_going_cold_nothing_does(mibs: list[int], parallel: int, left: float) -> None:
    for choice in (OnDeadline.CONTINUE, OnDeadline.ABORT):
        items = (item(n, mib) for n, mib in enumerate(mibs))
        drain = drain_of(*items, max_parallel=parallel, on_deadline=choice)
        assert {i.method for i in timed(drain, RATES, left).items} == {Method.LIVE}


@settings(deadline=None)
@given(sizes, st.sampled_from(Order), st.randoms())
def test_the_order_is_of_the_items_not_of_how_they_came(
    mibs: list[int], order: Order, random: object
) -> None:
    items = [item(n, mib, seconds=RATES.live(mib * MIB)) for n, mib in enumerate(mibs)]
    mixed = list(items)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert ordered(items, order) == ordered(mixed, order)


def test_priority_is_before_size() -> None:
    items = [item(1, 512), item(2, 8, priority=1)]
    assert [one.workload for one in ordered(items, Order.LARGEST)] == ["c2", "c1"]


@settings(deadline=None)
@given(sizes, st.integers(min_value=0, max_value=1024), st.integers(min_value=0, max_value=1024))
def test_no_host_is_given_more_than_it_has_room_for(mibs: list[int], of_b: int, of_c: int) -> None:
    found = placed([item(n, mib) for n, mib in enumerate(mibs)], [host("b", of_b), host("c", of_c)])
    for name, free in (("b", of_b), ("c", of_c)):
        assert sum(i.memory_bytes for i in found if i.target == name) <= free * MIB
    for one in found:
        assert (one.state is ItemState.PARKED) == (one.target is None)
        assert one.target or "no host fits" in one.reason


def test_what_other_drains_have_planned_is_taken_into_account() -> None:
    other = drain_of(item(1, 600, target="b"))
    candidates = reservations([other], [host("b", 1024), host("c", 512)])
    (found,) = placed([item(2, 500)], candidates)
    assert found.target == "c"


def test_a_host_that_nothing_has_left_is_believed_to_be_ordinary() -> None:
    assert rates([]) == Rates()


@settings(deadline=None)
@given(st.floats(min_value=0.5, max_value=5), st.integers(min_value=10, max_value=200))
def test_rates_come_from_what_has_left(fixed: float, mib_per_second: int) -> None:
    moves = [
        moved(mib * MIB, fixed + mib / mib_per_second, n)
        for n, mib in enumerate([8, 64, 256, 512] * 10)
    ]
    learnt = rates(moves)
    for mib in (8, 512):
        took = fixed + mib / mib_per_second
        assert abs(learnt.live(mib * MIB) - took) <= 0.25 * took + 0.3
    assert learnt.cold == COLD_SECONDS


def moved(size: int, seconds: float, number: int) -> Workflow:
    """A move that had its host to itself."""
    began = now() + timedelta(hours=number)
    taken, restored = (
        Step(unit=unit, host=host, epoch=1, state=StepState.DONE, started=began)
        for unit, host in ((Unit.CHECKPOINT, "a"), (Unit.RESTORE, "b"))
    )
    return new_workflow(Kind.MIGRATE, f"w{number}", source="a", target="b").model_copy(
        update={
            "steps": (taken.model_copy(update={"result": {"raw_bytes": size}}), restored),
            "created": began,
            "ended": began + timedelta(seconds=seconds),
        }
    )
