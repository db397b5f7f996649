"""What a person sees of workflows' records: status, watch, retry. No host is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from podferry import Client, RunSpec, Settings
from tasks import control
from tasks.broker import connect
from tasks.models import (
    Event,
    EventType,
    Inventory,
    Kind,
    Outcome,
    State,
    StepError,
    StepState,
    Unit,
    WorkerInfo,
    Workflow,
    WorkloadLine,
    new_workflow,
    now,
)
from tasks.plans import end, planned
from tasks.records import Records
from tasks.registry import Registry
from tests.acceptance.typing_in import Done, Run, complaint
from tests.services import redis_server
from tests.unit.podferry.histories import under_way, went_cold

pytestmark = pytest.mark.integration
PATIENCE_SECONDS = 60.0
PODFERRY = str(Path(sys.executable).with_name("podferry"))


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@dataclass
class Hub:
    """A Redis with records in it, and hosts that beat as long as a test lasts."""

    type: Run
    url: str
    records: Records
    registry: Registry
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, *words: str) -> Done:
        return self.type(*words, PODFERRY_REDIS_URL=self.url, PODFERRY_STORE_URL="memory://")

    def json(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        done = self.run(*words, "-o", "json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def ids(self, *words: str) -> list[str]:
        return [record["id"] for record in self.json("status", *words)]

    def put(self, workflow: Workflow, events: list[Event] | None = None) -> Workflow:
        self.records.create(workflow.model_copy(update={"steps": (), "state": State.QUEUED}))
        for event in events or []:
            self.records.log(workflow.id, event)
        return self.records.update(workflow.id, lambda _: workflow)

    def beat(self, host: str, *containers: str) -> None:
        """Let a host, and a control worker on it, live until the test is over."""
        info = WorkerInfo(id=f"host.{host}", host=host, control=True, version="0", pid=1)
        lines = tuple(
            WorkloadLine(name=name, id="1" * 64, image="i", state="running") for name in containers
        )

        def go_on() -> None:
            while not self.over.wait(0.1):
                self.registry.report(Inventory(host=host, containers=lines))
                self.registry.beat(info)

        self.registry.report(Inventory(host=host, containers=lines))
        self.registry.beat(info)
        threading.Thread(target=go_on, daemon=True).start()


@pytest.fixture
def hub(podferry: Run, redis_url: str) -> Iterator[Hub]:
    redis = connect(redis_url)
    redis.flushall()
    made = Hub(podferry, redis_url, Records(redis), Registry(connect(redis_url)))
    yield made
    made.over.set()


def test_status_shows_a_history_as_table_and_timeline(hub: Hub) -> None:
    workflow = hub.put(*went_cold())
    done = hub.run("status", workflow.id)
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["restore", "b", "1", "failed"] in [row[:4] for row in rows]
    assert ["up", "b", "2", "done"] in [row[:4] for row in rows]
    assert ["finish", "a", "1", "not", "begun", "-"] in [row[:6] for row in rows]
    bars = [line for line in done.stdout.splitlines() if "━" in line or "✗" in line]
    assert [bar.split()[:2] for bar in bars] == [
        *(["describe", "a"], ["preflight", "b"], ["push_image", "a"], ["pull_image", "b"]),
        *(["checkpoint", "a"], ["restore", "b"], ["up", "b"], ["finish", "a"]),
    ]
    assert "next: up on b → finish on a ↺" in done.stdout
    assert "web was started cold on b in 10.00 s; its memory is lost" in done.stdout
    assert "reason: restore on b: no CRIU" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_timeline_is_as_wide_as_the_terminal(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = hub.put(*went_cold())
    for width in (72, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = hub.run("status", workflow.id).stdout.splitlines()
        drawn = [line for line in shown if "━" in line]
        assert width - 12 < max(map(len, drawn)) <= width


def test_a_status_is_a_whole_record_with_its_events(hub: Hub) -> None:
    workflow, events = went_cold()
    workflow = hub.put(workflow, events)
    found = hub.json("status", workflow.id)
    assert [Event.model_validate(event) for event in found.pop("events")] == events
    assert Workflow.model_validate(found) == workflow
    assert "events:" in hub.run("status", workflow.id, "-o", "yaml").stdout


def test_a_status_says_what_is_waited_for(hub: Hub) -> None:
    workflow = hub.put(under_way())
    assert "now: checkpoint on a, restore on b" in hub.run("status", workflow.id).stdout
    again = hub.records.update(
        workflow.id,
        lambda w: planned(w, ((Unit.RESTORE, "b"),)).model_copy(
            update={"not_before": now() + timedelta(minutes=5)}
        ),
    )
    assert again.not_before is not None
    time_of_day = again.not_before.astimezone().strftime("%H:%M:%S")
    shown = hub.run("status", workflow.id).stdout
    [line] = [line for line in shown.splitlines() if line.startswith("now: again at ")]
    assert line.endswith(time_of_day)
    assert f"next: podferry watch {workflow.id}" in shown
    hub.records.update(workflow.id, lambda w: w.model_copy(update={"not_before": None}))
    assert "waits for host b, offline" in hub.run("status", workflow.id).stdout
    assert "waits for host b, offline" in hub.run("status").stdout
    hub.beat("b")
    assert "waits for its turn on host b" in hub.run("status", workflow.id).stdout


def test_workflows_are_listed_by_what_they_concern(hub: Hub) -> None:
    made = [
        hub.put(new_workflow(Kind.CHECKPOINT, name, source=source))
        for name, source in (("web", "a"), ("db", "a"), ("cache", "b"))
    ]
    hub.records.update(made[1].id, lambda w: end(w, Outcome.CHECKPOINTED))
    web, db, cache = (workflow.id for workflow in made)
    assert hub.ids() == [cache, db, web]
    assert hub.ids("--limit", "2") == [cache, db]
    assert hub.ids("--host", "a") == [db, web]
    assert hub.ids("--workload", "web", "--host", "a") == [web]
    assert hub.ids("--host", "a", "--state", "ended") == [db]
    assert hub.ids("--state", "queued") == [cache, web]
    assert hub.ids("--state", "running") == []
    assert "waits for a control worker" in hub.run("status", "--workload", "web").stdout


def test_watching_an_ended_workflow_tells_its_history_and_how_it_ended(hub: Hub) -> None:
    workflow, events = went_cold()
    [turn] = events
    began = Event(time=turn.time - timedelta(seconds=2), type=EventType.STARTED, unit=Unit.RESTORE)
    failed = Event(type=EventType.FAILED, unit=Unit.RESTORE, host="b", message="no CRIU")
    workflow = hub.put(workflow, [began.model_copy(update={"host": "b"}), failed, turn])
    done = hub.run("watch", workflow.id)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "  ✗ restore on b  no CRIU",
        "  ↺ next: up on b → finish on a",
    ]
    assert "web was started cold on b" in done.stdout
    as_json = hub.run("watch", workflow.id, "-o", "json")
    assert as_json.returncode == 3
    assert Workflow.model_validate_json(as_json.stdout) == workflow
    assert "no workflow 'x'" in complaint(hub.run("watch", "x"))


def test_each_of_two_steps_side_by_side_took_its_own_time(hub: Hub) -> None:
    workflow, [turn] = went_cold()
    both = [("checkpoint", "a", 0, 4), ("restore", "b", 3, 5)]
    events = [
        Event(time=turn.time + timedelta(seconds=moment), type=kind, unit=Unit(unit), host=host)
        for unit, host, began, ended in both
        for kind, moment in ((EventType.STARTED, began), (EventType.DONE, ended))
    ]
    hub.put(workflow, sorted(events, key=lambda event: event.time))
    assert hub.run("watch", workflow.id).stderr.splitlines() == [
        "  ✓ checkpoint on a  4.00 s",
        "  ✓ restore on b  2.00 s",
    ]


@pytest.mark.parametrize(
    ("kind", "outcome", "code"),
    [
        (Kind.MIGRATE, Outcome.MOVED, 0),
        (Kind.MIGRATE, Outcome.UNTOUCHED, 1),
        (Kind.CHECKPOINT, Outcome.RESUMED, 3),
        (Kind.PREFLIGHT, Outcome.CHECKED, 0),
    ],
)
def test_watching_ends_with_the_code_of_the_command_that_began_it(
    hub: Hub, kind: Kind, outcome: Outcome, code: int
) -> None:
    made = hub.put(new_workflow(kind, "web", source="a", target="b"))
    hub.records.update(made.id, lambda w: end(w, outcome))
    assert hub.run("watch", made.id).returncode == code


def test_a_watched_workflow_is_followed_to_its_end(hub: Hub) -> None:
    made = hub.put(new_workflow(Kind.UP, "web", target="b"))
    hub.records.update(made.id, lambda w: planned(w, ((Unit.UP, "b"),)))
    with watching(hub, made.id) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "    waits for host b, offline\n"
        hub.records.log(made.id, Event(type=EventType.LOG, message="pulled"))
        assert process.stderr.readline() == "    pulled\n"
        paused = now() + timedelta(hours=1)
        hub.records.update(made.id, lambda w: w.model_copy(update={"not_before": paused}))
        assert process.stderr.readline().startswith("    again at ")
        hub.records.update(made.id, lambda w: end(w, Outcome.STARTED))
        assert process.wait(PATIENCE_SECONDS) == 0


def test_ctrl_c_stops_the_watching_only(hub: Hub) -> None:
    made = hub.put(new_workflow(Kind.UP, "web", target="b"))
    with watching(hub, made.id) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "    waits for a control worker\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert f"podferry cancel {made.id}" in process.stderr.read()
    assert hub.records.get(made.id) == made


def watching(hub: Hub, workflow_id: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PODFERRY_")}
    return subprocess.Popen(
        [PODFERRY, "watch", workflow_id],
        env={**clean, "PODFERRY_ENVIRONMENT": "dev", "PODFERRY_REDIS_URL": hub.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_move_is_asked_again_from_where_the_workload_is(hub: Hub) -> None:
    old = hub.put(new_workflow(Kind.MIGRATE, "web", source="b", target="a", checkpoint_id="web/1"))
    assert f"podferry watch {old.id}" in complaint(hub.run("retry", old.id))
    hub.records.update(old.id, lambda w: end(w, Outcome.UNTOUCHED, "host 'a' was full"))
    hub.beat("a")
    hub.beat("b")
    hub.beat("c", "web")
    done = hub.run("retry", old.id, "--detach")
    assert done.returncode == 0, done
    new = hub.records.get(done.stdout.strip())
    assert (new.kind, new.source, new.target) == (Kind.MIGRATE, "c", "a")
    assert new.state is State.QUEUED
    assert new.checkpoint_id.startswith("web/2")
    assert "is busy with workflow" in complaint(hub.run("retry", old.id))


def test_a_move_that_is_there_already_is_not_asked_again(hub: Hub) -> None:
    workflow = hub.put(*went_cold())
    hub.beat("b", "web")
    assert "'web' is on host 'b' already" in complaint(hub.run("retry", workflow.id))


def test_memory_that_is_kept_comes_back_first(hub: Hub) -> None:
    made = hub.put(new_workflow(Kind.MIGRATE, "web", source="a", target="b"))
    hub.records.update(
        made.id,
        lambda w: end(w.model_copy(update={"source_stopped": True}), Outcome.FAILED),
    )
    assert f"podferry resume {made.id}" in complaint(hub.run("retry", made.id))


def test_an_up_is_made_again_while_its_request_is_known(hub: Hub) -> None:
    hub.beat("a")
    with Client(Settings(redis_url=hub.url)) as client:
        old = client.up(RunSpec(name="web", image="i", env={"TOKEN": "s3cret"}), host="a")
        control.cancel(hub.records, old.id)
        new = client.retry(old.id)
        assert hub.records.payload(new.id) == hub.records.payload(old.id)
        assert (new.kind, new.workload, new.target, new.checkpoint_id) == (Kind.UP, "web", "a", "")
        control.cancel(hub.records, new.id)
    connect(hub.url).delete(f"podferry:payload:{new.id}")
    line = complaint(hub.run("retry", new.id))
    assert "podferry up IMAGE --name web --host a" in line
    assert "s3cret" not in line


def test_a_failed_step_keeps_its_reason_in_one_row(hub: Hub) -> None:
    workflow = under_way()
    error = StepError(type="X", message="[red]no[/red] room")
    failed = workflow.steps[4].model_copy(
        update={"state": StepState.FAILED, "ended": now(), "error": error}
    )
    made = hub.put(workflow.with_step(4, failed))
    assert "[red]no[/red] room" in hub.run("status", made.id).stdout
