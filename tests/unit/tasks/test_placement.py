"""Which host is chosen: never one that a filter excludes, whatever the order they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Canary, CanaryState
from runtime.fake_facts import HOST
from tasks.hosts import HostState
from tasks.models import Need
from tasks.placement import NAMED, Candidate, Ranking, place

MIB = 1 << 20
ZONES = ("a", "b")


def host(name: str = "b", free_mib: int | None = 1024, **fields: object) -> Candidate:
    known = {
        "host": name,
        "state": HostState.ACTIVE,
        "memory_total_bytes": 2048 * MIB,
        "memory_free_bytes": None if free_mib is None else free_mib * MIB,
    }
    return Candidate(**{**known, **fields})  # type: ignore[arg-type] # checked by what follows


def need(mib: int = 64, **fields: object) -> Need:
    return Need.model_validate(
        {"source": "src", "names": ("web",), "memory_bytes": mib * MIB, **fields}
    )


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
    return [
        host(
            name,
            draw(st.none() | st.integers(min_value=0, max_value=2048)),
            state=draw(st.sampled_from(HostState)),
            error=draw(st.sampled_from(["", "", "no answer"])),
            labels={"zone": draw(st.sampled_from(ZONES))},
            names=frozenset(draw(st.sets(st.sampled_from(["web", "db"])))),
            running=draw(st.integers(min_value=0, max_value=5)),
            moves=draw(st.integers(min_value=0, max_value=3)),
            spread={"tier": draw(st.integers(min_value=0, max_value=2))},
            reserved_memory_bytes=draw(st.integers(min_value=0, max_value=512)) * MIB,
        )
        for name in names
    ]


@st.composite
def needs(draw: st.DrawFn) -> Need:
    return need(
        draw(st.integers(min_value=0, max_value=1024)),
        labels=draw(st.sampled_from([{}, {"zone": "a"}])),
        spread=draw(st.sampled_from([(), ("tier",)])),
        avoid=tuple(draw(st.sets(st.sampled_from("abc")))),
    )


@settings(deadline=None)
@given(needs(), candidates())
def test_no_filter_is_passed_over(wanted: Need, found: list[Candidate]) -> None:
    by_name = {candidate.host: candidate for candidate in found}
    placement = place(wanted, found)
    assert {verdict.host for verdict in placement.verdicts} == by_name.keys()
    for name in placement.fitting:
        chosen = by_name[name]
        assert chosen.state is HostState.ACTIVE
        assert not chosen.error
        assert name not in wanted.avoid
        assert "web" not in chosen.names
        assert wanted.labels.items() <= dict(chosen.labels).items()
        left = chosen.memory_left_bytes
        assert left is None or wanted.memory_bytes <= max(0, left)
    assert all(verdict.reason for verdict in placement.verdicts)
    assert (placement.host is None) == bool(placement.why_not)


@settings(deadline=None)
@given(needs(), candidates(), st.randoms())
def test_the_order_does_not_matter(wanted: Need, found: list[Candidate], random: Random) -> None:
    mixed = list(found)
    random.shuffle(mixed)
    assert place(wanted, mixed) == place(wanted, found)


@settings(deadline=None)
@given(needs(), candidates())
def test_more_room_makes_no_host_unfit(wanted: Need, found: list[Candidate]) -> None:
    roomier = [_roomier(candidate) for candidate in found]
    assert set(place(wanted, found).fitting) <= set(place(wanted, roomier).fitting)


def _roomier(candidate: Candidate) -> Candidate:
    free = candidate.memory_free_bytes
    return replace(candidate, memory_free_bytes=None if free is None else free + 512 * MIB)


@settings(deadline=None)
@given(st.lists(needs(), max_size=12), candidates())
def test_one_after_the_other_goes_where_it_would_go_alone(
    wanted: list[Need], found: list[Candidate]
) -> None:
    ranking = Ranking(found)
    for each in wanted:
        placement = place(each, found)
        assert ranking.why_not(each) == placement.why_not
        assert ranking.take(each) == placement.host
        found = [c.with_reserved(each) if c.host == placement.host else c for c in found]


@settings(deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=600), max_size=12), candidates())
def test_what_was_placed_before_is_counted(sizes: list[int], found: Sequence[Candidate]) -> None:
    free = {c.host: c.memory_left_bytes for c in found}
    given_to: dict[str, int] = {}
    ranking = Ranking(found)
    for number, mib in enumerate(sizes):
        wanted = need(mib, names=(f"c{number}",))
        chosen = ranking.take(wanted)
        if chosen is not None:
            given_to[chosen] = given_to.get(chosen, 0) + wanted.memory_bytes
    for name, taken in given_to.items():
        left = free[name]
        assert left is None or taken <= left


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (host("z", spread={"tier": 0}), host("a", spread={"tier": 1})),
        (host("z", moves=0), host("a", moves=1)),
        (host("z", 1024), host("a", 512)),
        (host("z", running=1), host("a", running=2)),
        (host("a"), host("z")),
    ],
)
def test_which_is_better(better: Candidate, worse: Candidate) -> None:
    assert place(need(spread=("tier",)), [worse, better]).host == better.host


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (host("src"), "it is there now"),
        (host(state=HostState.CORDONED), "cordoned"),
        (host(state=HostState.OFFLINE), "offline"),
        (host(error="refused"), "its engine does not answer: refused"),
        (host(labels={"zone": "b"}), "lacks the label zone=a"),
        (host(names=frozenset({"web"})), "has a container 'web' already"),
        (host(free_mib=32), "needs 64 MiB of memory, 32 MiB is free"),
        (host(disk_free_bytes=MIB), "needs 128 MiB of disk, 1 MiB is free"),
    ],
)
def test_why_a_host_does_not_fit(candidate: Candidate, reason: str) -> None:
    wanted = need(labels={"zone": "a"}, disk_bytes=128 * MIB)
    labelled = candidate if candidate.labels else _labelled(candidate)
    placement = place(wanted, [labelled])
    assert placement.host is None
    assert reason in placement.why_not


def _labelled(candidate: Candidate) -> Candidate:
    return replace(candidate, labels={"zone": "a"})


def test_a_host_where_criu_failed_does_not_fit() -> None:
    broken = Canary(state=CanaryState.FAILED, reason="no CRIU here")
    placement = place(need(), [host(facts=HOST, canary=broken)])
    assert "no CRIU here" in placement.why_not


@pytest.mark.parametrize(
    ("differs", "criu", "reason"),
    [
        ({"architecture": "arm64"}, "4.2", "b is arm64, src is amd64"),
        ({}, "4.1", "b has CRIU 4.1, older than the 4.2 of src"),
    ],
)
def test_a_machine_is_held_against_the_sources(
    differs: dict[str, str], criu: str, reason: str
) -> None:
    proven = [Canary(state=CanaryState.OK, criu_version=version) for version in ("4.2", criu)]
    source = host("src", facts=HOST, canary=proven[0])
    placement = place(
        need(), [source, host(facts=HOST.model_copy(update=differs), canary=proven[1])]
    )
    assert reason in placement.why_not


def test_a_source_that_is_dead_is_offline() -> None:
    dead = host("src", state=HostState.OFFLINE)
    assert place(need(), [dead]).why_not == "no host fits: src: offline"


def test_of_many_hosts_that_do_not_fit_some_are_named() -> None:
    reason = place(need(), [host(f"h{n:02}", 1) for n in range(NAMED + 5)]).why_not
    assert reason.count("needs 64 MiB") == NAMED
    assert reason.endswith("; and 5 more")


def test_without_hosts() -> None:
    assert place(need(), []).why_not == "no host fits: none is known"
