"""What a policy keeps. Nothing is stored here."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Keep, Reason, RetentionPolicy
from storage.retention import Candidate, Plan, plan
from tests.unit.storage.samples import NOON

DAY = timedelta(days=1)
EXEMPT = {Reason.PINNED, Reason.PROTECTED, Reason.NEWEST, Reason.UNREADABLE}


def candidate(
    name: str,
    days_old: float = 0,
    *,
    size: int = 10,
    parent: str | None = None,
    pinned: bool = False,
    readable: bool = True,
) -> Candidate:
    return Candidate(
        id=name,
        workload=name.partition("/")[0],
        created=NOON - days_old * DAY,
        size=size,
        needs=(parent,) if parent else (),
        pinned=pinned,
        readable=readable,
    )


def group(name: str, days_old: float, *members: str, **fields: Any) -> Candidate:  # noqa: ANN401
    made = candidate(name, days_old, size=1, **fields)
    return replace(made, needs=members, group=True)


def days(*ages: int) -> list[Candidate]:
    return [candidate(f"web/{age}", age) for age in ages]


def reasons(made: Plan) -> dict[str, Reason]:
    return {v.checkpoint.key: v.reason for v in (*made.keep, *made.remove)}


def removed(made: Plan) -> list[str]:
    return [v.checkpoint.key for v in made.remove]


def test_without_limits_everything_stays() -> None:
    made = plan(days(0, 1, 400), RetentionPolicy(), now=NOON)
    assert reasons(made) == {
        "web/0": Reason.NEWEST,
        "web/1": Reason.UNLIMITED,
        "web/400": Reason.UNLIMITED,
    }
    assert made.remove == ()


def test_the_last_ones_are_kept_of_each_workload() -> None:
    policy = RetentionPolicy(keep=Keep(last=2))
    made = plan([*days(0, 1, 2), candidate("db/9", 9), candidate("db/10", 10)], policy, now=NOON)
    assert removed(made) == ["web/2"]
    assert reasons(made)["web/1"] is Reason.LAST


def test_what_either_limit_holds_is_kept() -> None:
    policy = RetentionPolicy(keep=Keep(last=2, within=3 * DAY))
    made = plan(days(0, 1, 3, 4), policy, now=NOON)
    assert removed(made) == ["web/4"]
    assert reasons(made)["web/3"] is Reason.WITHIN
    made = plan(days(7, 8, 9), policy, now=NOON)
    assert removed(made) == ["web/9"]


def test_a_workload_has_rules_of_its_own() -> None:
    policy = RetentionPolicy(keep=Keep(last=1), workloads={"db": Keep(last=3)})
    old = [candidate(f"db/{age}", age) for age in range(4)]
    assert removed(plan([*days(0, 1), *old], policy, now=NOON)) == ["db/3", "web/1"]


def test_the_newest_is_never_removed_however_old_and_large() -> None:
    policy = RetentionPolicy(keep=Keep(within=DAY), max_total_bytes=0)
    made = plan(days(100, 200), policy, now=NOON)
    assert reasons(made) == {"web/100": Reason.NEWEST, "web/200": Reason.EXPIRED}
    assert made.over_bytes == 10


def test_pinned_and_protected_ones_stay() -> None:
    policy = RetentionPolicy(keep=Keep(last=1), max_total_bytes=0)
    pinned = candidate("web/5", 5, pinned=True)
    made = plan([*days(0, 1, 2), pinned], policy, now=NOON, protected={"web/2"})
    assert reasons(made) == {
        "web/0": Reason.NEWEST,
        "web/1": Reason.EXPIRED,
        "web/2": Reason.PROTECTED,
        "web/5": Reason.PINNED,
    }
    assert made.over_bytes == 30


def test_a_chain_stays_for_its_youngest_and_goes_with_it() -> None:
    chain = [
        candidate("web/full", 9),
        candidate("web/one", 8, parent="web/full"),
        candidate("web/two", 7, parent="web/one"),
    ]
    younger = days(0, 1)
    made = plan([*chain, *younger], RetentionPolicy(keep=Keep(last=3)), now=NOON)
    assert reasons(made)["web/full"] is Reason.PARENT
    assert reasons(made)["web/two"] is Reason.LAST
    made = plan([*chain, *younger], RetentionPolicy(keep=Keep(last=2)), now=NOON)
    assert removed(made) == ["web/two", "web/one", "web/full"]


def test_bytes_take_the_oldest_first_until_the_rest_fits() -> None:
    made = plan(days(0, 1, 2, 3), RetentionPolicy(max_total_bytes=25), now=NOON)
    assert removed(made) == ["web/3", "web/2"]
    assert made.over_bytes == 0
    assert {v.reason for v in made.remove} == {Reason.OVER_SIZE}


def test_bytes_go_before_the_number_to_keep() -> None:
    policy = RetentionPolicy(keep=Keep(last=3), max_total_bytes=20)
    assert removed(plan(days(0, 1, 2), policy, now=NOON)) == ["web/2"]


def test_a_parent_kept_for_one_that_bytes_took_goes_with_it() -> None:
    chain = [candidate("web/full", 9, size=5), candidate("web/one", 8, parent="web/full")]
    policy = RetentionPolicy(keep=Keep(last=3), max_total_bytes=29)
    made = plan([*chain, *days(0, 1)], policy, now=NOON)
    assert removed(made) == ["web/one", "web/full"]
    assert reasons(made)["web/full"] is Reason.EXPIRED


def test_a_group_that_is_kept_keeps_its_members_and_goes_before_them() -> None:
    old, new = candidate("db/1", 1), candidate("db/0")
    groups = [group("shop/1", 1, old.key), group("shop/0", 0, new.key)]
    made = plan([old, new, *groups], RetentionPolicy(keep=Keep(last=1)), now=NOON)
    assert removed(made) == ["groups/shop/1", "db/1"]
    assert reasons(made)["groups/shop/0"] is Reason.NEWEST
    pinned = [replace(groups[0], pinned=True), groups[1]]
    made = plan([old, new, *pinned], RetentionPolicy(keep=Keep(last=1)), now=NOON)
    assert removed(made) == []
    assert reasons(made)["db/1"] is Reason.GROUP


def test_a_member_s_parent_is_kept_for_the_group() -> None:
    chain = [candidate("db/2", 2), candidate("db/1", 1, parent="db/2"), candidate("db/0")]
    made = plan([*chain, group("shop/1", 1, "db/1")], RetentionPolicy(keep=Keep(last=1)), now=NOON)
    assert reasons(made)["db/1"] is Reason.GROUP
    assert reasons(made)["db/2"] is Reason.PARENT


def test_bytes_take_a_group_with_the_members_that_were_kept_for_it() -> None:
    found = [candidate("db/1", 1), candidate("db/0"), group("shop/1", 2, "db/1")]
    policy = RetentionPolicy(keep=Keep(within=3 * DAY), max_total_bytes=10)
    made = plan([*found, group("shop/0", 0)], policy, now=NOON)
    assert removed(made) == ["groups/shop/1", "db/1"]


def test_a_container_may_be_called_as_its_group() -> None:
    found = [candidate("shop/0"), candidate("shop/1", 1), group("shop/1", 1, "shop/1")]
    made = plan(found, RetentionPolicy(keep=Keep(last=1)), now=NOON)
    assert reasons(made) == {
        "shop/0": Reason.NEWEST,
        "shop/1": Reason.GROUP,
        "groups/shop/1": Reason.NEWEST,
    }


def test_what_cannot_be_read_keeps_its_workload() -> None:
    broken = candidate("web/2", 2, readable=False)
    other = [candidate("db/0", 0), candidate("db/1", 1)]
    policy = RetentionPolicy(keep=Keep(last=1), max_total_bytes=0)
    made = plan([*days(0, 1), broken, *other], policy, now=NOON)
    assert removed(made) == ["db/1"]
    assert reasons(made)["web/1"] is Reason.UNREADABLE


def test_nothing_is_kept_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Keep(last=0)


@st.composite
def stores(draw: st.DrawFn) -> list[Candidate]:
    """Groups, and workloads with chains, also with parents that are missing or much younger."""
    found: list[Candidate] = []
    for number in range(draw(st.integers(0, 14))):
        workload = draw(st.sampled_from(["web", "db", "x"]))
        siblings = [c.id for c in found if c.workload == workload]
        made = candidate(
            f"{workload}/{number:02}",
            draw(st.integers(0, 20)),
            size=draw(st.integers(0, 50)),
            parent=draw(st.none() | st.sampled_from([*siblings, f"{workload}/gone"])),
            pinned=draw(st.sampled_from([False, False, False, True])),
            readable=draw(st.sampled_from([True] * 9 + [False])),
        )
        found.append(made)
    loose = [c.id for c in found]
    for number in range(draw(st.integers(0, 4))):
        members = [loose.pop() for _ in range(min(len(loose), draw(st.integers(0, 3))))]
        pinned, age = draw(st.booleans()), draw(st.integers(0, 20))
        workload = draw(st.sampled_from(["shop", "web"]))  # a container's name, too
        found.append(group(f"{workload}/{number:02}", age, *members, "x/gone", pinned=pinned))
    return found


keeps = st.builds(
    Keep,
    last=st.none() | st.integers(1, 5),
    within=st.none() | st.integers(1, 20).map(lambda n: n * DAY),
)
policies = st.builds(
    RetentionPolicy,
    keep=keeps,
    workloads=st.dictionaries(st.sampled_from(["web", "db"]), keeps),
    max_total_bytes=st.none() | st.integers(0, 300),
)


@given(store=stores(), policy=policies, data=st.data())
def test_plans_keep_their_promises(
    store: list[Candidate], policy: RetentionPolicy, data: st.DataObject
) -> None:
    ids = [c.id for c in store]
    protected = set(data.draw(st.lists(st.sampled_from(ids)))) if ids else set()
    made = plan(store, policy, now=NOON, protected=protected)
    kept, gone = ([v.checkpoint for v in part] for part in (made.keep, made.remove))
    kept_ids = {c.key for c in kept}

    assert sorted([*kept, *gone], key=ids_of) == sorted(store, key=ids_of)
    assert not any(c.pinned or c.id in protected or not c.readable for c in gone)
    assert not {c.key for c in gone} & {needed for c in kept for needed in c.needs}
    for kind in {kind_of(c) for c in store}:
        newest = max((c for c in store if kind_of(c) == kind), key=age_of)
        assert newest.key in kept_ids
    for index, child in enumerate(gone):  # a removal that is killed leaves no child alone
        assert not set(child.needs) & {c.key for c in gone[:index]}

    shuffled = random.Random(data.draw(st.integers())).sample(store, len(store))  # noqa: S311
    assert plan(shuffled, policy, now=NOON, protected=protected) == made


@given(store=stores(), policy=policies)
def test_bytes_fit_or_it_is_said_by_how_much_not(
    store: list[Candidate], policy: RetentionPolicy
) -> None:
    made = plan(store, policy, now=NOON)
    total = sum(v.checkpoint.size for v in made.keep)
    if policy.max_total_bytes is None:
        assert made.over_bytes == 0
        assert Reason.OVER_SIZE not in {v.reason for v in made.remove}
        return
    assert made.over_bytes == max(0, total - policy.max_total_bytes)
    needed = {needed for v in made.keep for needed in v.checkpoint.needs}
    if made.over_bytes:  # then nothing more could go
        assert all(v.reason in EXEMPT or v.checkpoint.key in needed for v in made.keep)


@given(store=stores(), policy=policies)
def test_the_last_are_kept_and_what_bytes_took_was_older_than_what_they_left(
    store: list[Candidate], policy: RetentionPolicy
) -> None:
    flat = [replace(c, needs=()) for c in store]
    made = plan(flat, policy, now=NOON)
    taken = {v.checkpoint.key for v in made.remove if v.reason is Reason.OVER_SIZE}
    left = [v.checkpoint for v in made.keep if v.reason not in EXEMPT]
    for victim in (c for c in flat if c.key in taken):
        assert all(age_of(victim) < age_of(c) for c in left)
    kept = {v.checkpoint.key for v in made.keep}
    for kind in {kind_of(c) for c in flat}:
        is_group, workload = kind
        rules = policy.keep if is_group else policy.workloads.get(workload, policy.keep)
        own = sorted((c for c in flat if kind_of(c) == kind), key=age_of, reverse=True)
        held = own if rules == Keep() else own[: rules.last or 0]
        assert all(c.key in kept | taken for c in held)


def ids_of(c: Candidate) -> str:
    return c.key


def kind_of(c: Candidate) -> tuple[bool, str]:
    return c.group, c.workload


def age_of(c: Candidate) -> tuple[datetime, str]:
    return c.created, c.key
