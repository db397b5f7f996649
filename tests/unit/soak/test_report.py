"""What is made of measurements: costs beyond those of an idle installation, and their growth."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from tests.bench.records import Machine
from tests.soak.plot import draw
from tests.soak.records import Reading, Report, Soak, Use
from tests.soak.report import document, table

MACHINE = Machine(
    taken=datetime(2026, 1, 2, tzinfo=UTC),
    cores=2,
    memory_gib=23.5,
    kernel="6.18.5",
    load=0.25,
    versions={"Python": "3.11.7"},
)


def use(seconds: float, cpu: float, calls: int, memory: int = 0) -> Use:
    """Everybody has used as much."""
    return Use(
        seconds=seconds,
        told=seconds,
        cpu=dict.fromkeys(("control", "redis", "hosts"), cpu),
        commands={"get": calls},
        written_bytes=10_240 * calls,
        memory_bytes=memory,
    )


def soaked(hosts: int, *, cost: float = 1.0, stretch: float = 1.0) -> Soak:
    """Each move takes 10 ms of everybody, 100 commands and 20 KiB, where ``cost`` is 1."""
    moves = 2 * hosts
    return Soak(
        hosts=hosts,
        workloads=20 * hosts,
        drained=hosts // 10,
        moves=moves,
        idle=use(10, 0.1 * hosts / 100, 70 * hosts),
        busy=use(
            20, 0.2 * hosts / 100 + 0.01 * cost * moves, 140 * hosts + 100 * moves, 20480 * moves
        ),
        asked=0.1,
        stretch=stretch,
        machine=MACHINE,
    )


def test_what_an_idle_installation_costs_is_no_cost_of_a_move() -> None:
    found = soaked(100)
    assert found.milliseconds("redis") == pytest.approx(10)
    assert found.all_milliseconds == pytest.approx(30)
    assert found.commands_per_move == pytest.approx(100)
    assert found.memory_per_move == 20480


def test_use_is_what_came_between_two_readings() -> None:
    def reading(moment: float, cpu: float, **commands: int) -> Reading:
        return Reading(
            moment=moment,
            told=moment,
            cpu={"redis": cpu},
            commands=commands,
            written_bytes=0,
            memory_bytes=0,
        )

    found = reading(5, 3, get=7, set=1).since(reading(1, 2, get=3))
    assert (found.seconds, found.told, found.cpu, found.calls) == (4, 4, {"redis": 1}, 5)


def test_the_document_tells_growth_and_where_one_redis_ends() -> None:
    report = Report(soaks=(soaked(20), soaked(100), soaked(1000, cost=1.5, stretch=4)))
    text = " ".join(document(report).split())
    assert "50 times as many" in text
    assert "75.0 times as much: 1.50 times as much for a move" in text
    assert "of more than 100 hosts" in text
    assert "7.0 Redis commands" in text  # an idle host, a second
    assert "5,000 hosts may be idle" in text
    assert "33 moves may begin" in text
    assert len(list(table(report))) == 5


def test_the_picture_has_a_bar_for_each_size() -> None:
    picture = ElementTree.fromstring(draw(Report(soaks=(soaked(20), soaked(1000)))))  # noqa: S314
    words = [element.text for element in picture.iter() if element.text]
    assert words.count("20 hosts") == words.count("1000 hosts") == 5
