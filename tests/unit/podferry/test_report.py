"""The report of a workflow or a drain: all that matters is in it, and nothing that it must not."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser

import pytest

from podferry.report import drain_report, workflow_report
from podferry.report.markup import el, render, table
from podferry.report.picture import LEFT, RIGHT, WIDTH, Bar, Lane, Picture
from tasks.drains.models import Drain, DrainResult, Item, ItemState, new_drain
from tasks.lines import LogLine
from tasks.models import Event, EventType, Need, Outcome, State, Workflow
from tasks.plans import end
from tests.unit.podferry.histories import NOON, at, queued, under_way, went_cold

NASTY = "</style><script>alert(1)</script>\x1b[31m\"'&"


class Read(HTMLParser):
    """A page as a browser reads it: its tags with their classes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs).get("class") or ""))
        self.attributes += attrs
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def count(self, kind: str) -> int:
        return sum(kind in found.split() for _, found in self.tags)


def report_of(workflow: Workflow, *events: Event, lines: tuple[LogLine, ...] = ()) -> Read:
    return Read(workflow_report(workflow, events, lines, at(20)))


def test_a_move_that_went_cold_tells_why_and_when() -> None:
    workflow, (turn,) = went_cold()
    workflow = workflow.model_copy(update={"next_command": "podferry retry ID"})
    line = LogLine(time=at(7), level="error", message="step failed", host="b", unit="restore")
    read = report_of(workflow, turn, lines=(line,))
    assert "web was started cold on b in 10.00 s; its memory is lost" in read.text
    assert "restore on b: no CRIU" in read.text
    assert "podferry retry ID" in read.text
    assert "next: up on b → finish on a" in read.text
    assert "step failed" in read.text
    began = [step for step in workflow.steps if step.started]
    assert read.count("bar") == len(began) == 8
    assert ("g", "bar failed") in read.tags
    assert read.count("band") == 2  # in the picture and its key
    assert "5.00 s at most" in read.text  # from the checkpoint at 4 to the end of up at 9
    assert read.count("turn") == 2
    assert read.text.count(" source ") == read.text.count(" target ") == 1


def test_what_is_under_way_is_drawn_up_to_now() -> None:
    read = report_of(under_way())
    assert ("g", "bar running") in read.tags
    assert "checkpoint 16.00 s" in read.text
    assert "not begun" not in read.text


def test_what_was_given_up_is_told_so() -> None:
    over = end(under_way(), Outcome.CANCELLED).model_copy(update={"ended": at(9)})
    read = report_of(over)
    assert ("g", "bar waits") in read.tags
    assert "not begun" in read.text


def test_what_has_not_begun_has_no_picture() -> None:
    read = report_of(queued())
    assert "svg" not in dict(read.tags)
    assert "queued" in read.text


def test_nothing_in_a_record_becomes_markup() -> None:
    workflow, _ = went_cold()
    workflow = workflow.model_copy(update={"workload": NASTY, "reason": NASTY, "drain": NASTY})
    failed = workflow.steps[5].model_copy(update={"host": NASTY})
    event = Event(time=at(1), type=EventType.LOG, message=NASTY, host=NASTY)
    line = LogLine(time=at(1), level=NASTY, message=NASTY, fields={NASTY: NASTY})
    text = workflow_report(workflow.with_step(5, failed), [event], [line], at(20))
    assert NASTY not in text
    assert "\x1b" not in text
    assert text.count("</style>") == 1
    read = Read(text)
    assert "script" not in dict(read.tags)
    assert NASTY.replace("\x1b", "\N{REPLACEMENT CHARACTER}") in read.text


def test_a_page_needs_nothing_else() -> None:
    workflow, events = went_cold()
    text = workflow_report(workflow, events, [], at(20))
    read = Read(text)
    tags = {tag for tag, _ in read.tags}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "a"})
    assert {name for name, _ in read.attributes}.isdisjoint({"src", "href", "onload", "onclick"})
    assert "url(" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def drained() -> Drain:
    common = Item(workload="x", containers=("x",), source="a", need=Need(source="a"), target="b")
    done = {"state": ItemState.DONE, "outcome": Outcome.MOVED}
    items = [
        common.changed(workload="one", began=at(1), ended=at(3), workflow_id="w1", **done),
        common.changed(workload="two", began=at(2), ended=at(9), target="c", **done),
        common.changed(
            workload="cold",
            began=at(3),
            ended=at(4),
            **{**done, "outcome": Outcome.COLD, "because": "no time for its memory"},
        ),
        common.changed(
            workload="bad", began=at(4), ended=at(6), state=ItemState.FAILED, reason="no room"
        ),
        common.changed(workload="never", state=ItemState.FAILED, target=None, reason="too late"),
    ]
    drain = new_drain("a", deadline_seconds=30).with_items(items)
    fields = {
        "created": NOON,
        "deadline": at(30),
        "ended": at(10),
        "state": State.ENDED,
        "result": DrainResult.INCOMPLETE,
    }
    return drain.model_copy(update=fields)


def test_a_drain_has_a_bar_for_each_workload_in_its_targets_lane() -> None:
    workflow = went_cold()[0]
    read = Read(drain_report(drained(), {"w1": workflow}, at(20)))
    assert "a: 3 of 5 workloads left" in read.text
    bars = [kind for tag, kind in read.tags if tag == "g" and kind.startswith("bar")]
    assert sorted(bars) == ["bar done", "bar done", "bar failed", "bar warm"]
    lanes = [word for word in read.words if word in {"b", "c", "not moved"}]
    assert lanes[:3] == ["b", "c", "not moved"]
    assert read.count("deadline") == 2
    for told in ("bad: no room", "never: too late", "no time for its memory", "5.00 s", "10.00 s"):
        assert told in read.text
    assert "podferry restore-host a" in read.text


@pytest.mark.parametrize(
    ("result", "headline"),
    [
        (DrainResult.DRAINED, "a is empty: 3 of 5 workloads left"),
        (DrainResult.CANCELLED, "The drain of a was called off: 3 of 5 workloads had left"),
    ],
)
def test_the_headline_of_a_drain(result: DrainResult, headline: str) -> None:
    drain = drained().model_copy(update={"result": result})
    assert headline in Read(drain_report(drain, {}, at(20))).text


def test_the_way_home_and_a_drain_that_has_not_begun() -> None:
    back = drained().model_copy(update={"back": True})
    read = Read(drain_report(back, {}, at(20)))
    assert "3 of 5 workloads came home to a" in read.text
    assert "restore-host" not in read.text
    read = Read(drain_report(new_drain("a"), {}, at(20)))
    assert "a: 0 of 0 workloads left" in read.text
    assert "svg" not in dict(read.tags)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 7.0, 86_400 * 30.0])
def test_a_picture_of_any_length_stays_within_its_frame(seconds: float) -> None:
    bar = Bar(begin=NOON, end=NOON + timedelta(seconds=seconds), label="x" * 200, kind="done")
    drawn = Picture(lanes=[Lane(label="a", bars=[bar])]).draw()
    assert len(drawn.findall(".//line[@class='tick']")) <= 12
    for rect in drawn.iter("rect"):
        assert float(rect.get("x", "")) >= LEFT
        assert float(rect.get("x", "")) + float(rect.get("width", "")) <= WIDTH - RIGHT + 3


def test_a_tree_is_written_in_its_order() -> None:
    made = el("p", "one ", el("b", "two"), " three", None, " four", data_x="1", class_="c", id=None)
    assert render(made).splitlines()[1] == '<p data-x="1" class="c">one <b>two</b> three four</p>'
    assert "<td>a</td><td>b</td>" in render(table(("x", "y"), [("a", "b")]))
