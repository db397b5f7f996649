from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from tests.bench.claims import claims
from tests.bench.plot import PANEL_WIDTH, draw
from tests.bench.records import OURS, Drained, Growth, Memory, Report, Timed
from tests.bench.report import document, show
from tests.bench.timing import in_turn
from tests.unit.bench.samples import report

SVG = "{http://www.w3.org/2000/svg}"


def shown(found: Report) -> str:
    console = Console(file=io.StringIO(), width=120)
    show(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def measured(found: Report) -> dict[str, str]:
    return {claim.what: claim.measured for claim in claims(found)}


def test_a_report_comes_back_from_its_json() -> None:
    assert Report.model_validate_json(report().model_dump_json()) == report()


def test_rates_and_medians() -> None:
    found = Timed(mib=100, seconds=(5.0, 1.0, 2.0))
    assert (found.median, found.rate) == (2.0, 50.0)


def test_each_run_begins_with_another_tool() -> None:
    turns = list(in_turn(["a", "b", "c"], 2))
    assert turns == [(1, "a"), (1, "b"), (1, "c"), (2, "b"), (2, "c"), (2, "a")]


def test_all_promises_that_the_report_can_tell_about_are_judged() -> None:
    found = claims(report())
    assert len(found) == 10
    assert all(claim.holds for claim in found)
    assert {claim.what.partition(":")[0] for claim in found if not claim.timed} == {
        "second checkpoint of 1024 MiB, 5% of its pages changed",
        "memory of a worker and its children above idle, at most",
        "peak memory of the source's worker at 4096 MiB over that at 1024 MiB",
        "peak memory of the target's worker at 4096 MiB over that at 1024 MiB",
    }


def test_a_transfer_is_held_against_the_fastest_plain_tool() -> None:
    slow = report(rate=0.8)
    whats = [claim.what for claim in claims(slow) if not claim.holds]
    assert [what.partition(" ")[0] for what in whats] == ["upload", "download"]
    assert all("(mc)" in what for what in whats)
    assert measured(slow)[whats[0]] == "0.84"


def test_a_move_is_held_against_the_best_script_and_a_small_one_against_the_bare_calls() -> None:
    slow = [claim for claim in claims(report(slower=1.5)) if not claim.holds]
    assert [(claim.what, claim.measured) for claim in slow] == [
        ("move of 64 MiB: total time beyond the bare REST calls'", "3.75 s"),
        ("move of 1024 MiB: total time over the best script's", "1.04"),
    ]


def test_a_drain_is_shown_beside_the_least_that_anything_takes() -> None:
    drain = Drained(
        containers=24,
        mib=2128,
        expected=30.0,
        took=24.0,
        rest=18.0,
        script=48.0,
        took_cpu=44.0,
        rest_cpu=34.0,
        script_cpu=52.0,
    )
    found = report().model_copy(update={"drain": drain})
    off, ratio = claims(found)[-2:]
    assert (off.measured, off.holds) == ("1.25", True)
    assert (ratio.measured, ratio.holds) == ("0.50 (bare REST: 0.38)", False)
    assert "| bare REST, four at a time | 18.0 | 0.38 | 34.0 |" in document(found)


def test_memory_that_grows_with_the_container_is_noticed() -> None:
    def growth(peak: float) -> dict[str, Growth]:
        return {"source": Growth(idle_mib=200.0, peak_mib=peak, samples=9)}

    memory = Memory(measure="PSS", sizes={1024: growth(250.0), 4096: growth(340.0)})
    found = claims(report().model_copy(update={"memory": memory}))
    assert [claim.measured for claim in found[-2:]] == ["140 MiB", "1.36"]
    assert [claim.holds for claim in found[-2:]] == [True, False]


def test_the_terminal_shows_every_section_and_the_verdict() -> None:
    text = shown(report())
    for word in ("boto3", "script, none", "bare REST", "200 Mbit/s", "above idle", "checkpoint"):
        assert word in text
    assert "PASS: every promise above holds" in text
    assert "FAIL: upload of 1024 MiB" in shown(report(rate=0.8))


def test_sections_that_did_not_run_are_left_out_and_skipped_ones_named() -> None:
    machine = report().machine
    bare = Report(machine=machine, skipped={"preseed": "podferry migrate has no --preseed"})
    assert claims(bare) == []
    assert "preseed was skipped: podferry migrate has no --preseed" in shown(bare)
    assert "Not measured: preseed, because podferry migrate has no --preseed." in document(bare)


def test_the_document_has_the_machine_and_tables_of_even_rows() -> None:
    text = document(report())
    assert "2026-01-02, 2 cores, 24 GiB, Linux 6.18.5, Podman 5.4.2, CRIU 4.1.1" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 8
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| boto3 | 256 | 0.53 | 256 | 0.53 |" in text


def test_the_plot_is_one_bar_a_tool_scaled_to_the_longest_of_its_panel() -> None:
    root = ET.fromstring(draw(report()))  # noqa: S314 - our own
    texts = [element.text for element in root.iter(f"{SVG}text")]
    bars = [r for r in root.iter(f"{SVG}rect") if r.get("x") is not None]
    assert texts.count(OURS) == 9
    assert len(bars) == 3 * 3 + 4 * 4 + 2 * 2
    mc, ours = float(bars[1].get("width", 0)), float(bars[0].get("width", 0))
    assert mc / ours == pytest.approx(2.0 / 2.1, abs=0.01)
    left, width = (float(root.get(name, "0")) for name in ("x", "width"))
    for bar in bars:
        x, length = (float(bar.get(name, "nan")) for name in ("x", "width"))
        assert left <= x <= x + length <= width
        assert length < PANEL_WIDTH


def test_names_are_escaped_in_the_plot() -> None:
    tools = {OURS: Timed(mib=1, seconds=(1.0,)), "a<b>&": Timed(mib=1, seconds=(1.0,))}
    found = report().model_copy(update={"transfer": {1: {"upload": tools}}})
    root = ET.fromstring(draw(found))  # noqa: S314 - our own
    assert "a<b>&" in [element.text for element in root.iter(f"{SVG}text")]
