"""podferry drain and its sisters, typed; a control worker's part is played by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fakeredis import FakeRedis
from typer.testing import CliRunner

from podferry import Client, Drain, DrainResult, Item, ItemState, Method, Outcome, Settings, State
from podferry import client as clients
from podferry.cli import common
from podferry.cli.drain import exit_code
from podferry.cli.main import app
from runtime import Finding, Severity
from tasks import locate
from tasks.drains.models import new_drain
from tasks.drains.records import Drains
from tasks.errors import InvalidRequestError, SystemContainersError, WorkloadBusyError
from tasks.models import Inventory, Need, WorkerInfo, Workflow, WorkloadLine, now
from tasks.registry import Registry

MIB = 1 << 20


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRedis]:
    """Hosts a, where one and two run, and b, and a control worker."""
    client = FakeRedis(protocol=2)
    monkeypatch.setattr(clients, "connect", lambda _: client)
    monkeypatch.setattr(common, "load_settings", lambda **_: Settings(redis_url="redis://x"))
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    registry = Registry(client)
    for host in "ab":
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1, control=True))
        registry.report(Inventory(host=host))
    registry.report(Inventory(host="a", containers=(line("one", 8), line("two", 512))))
    yield client
    client.close()


@pytest.fixture
def client(redis: FakeRedis) -> Client:
    return Client(Settings(redis_url="redis://x"))


def line(name: str, mib: int, **labels: str) -> WorkloadLine:
    return WorkloadLine(
        name=name,
        id=name * 20,
        image="web",
        state="running",
        memory_bytes=mib * MIB,
        labels={f"podferry.{key}": value for key, value in labels.items()},
    )


def typed(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def by_name(drain: Drain) -> dict[str, Item]:
    return {item.workload: item for item in drain.items}


@pytest.mark.usefixtures("redis")
def test_a_dry_run_shows_what_would_leave_and_changes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "ask_preflight", lambda *_: ())
    code, output = typed("drain", "a", "--dry-run")
    assert code == 0
    assert all(word in output for word in ("one", "two", "live", "512.0 MiB", "expected"))
    assert client.drains.recent() == []
    assert client.hosts()[0].cordon is None


def test_a_plan_knows_what_a_preflight_finds(client: Client) -> None:
    asked: list[tuple[str, str | None]] = []

    def ask(workflow: Workflow) -> tuple[Finding, ...]:
        asked.append((workflow.workload, workflow.target))
        if workflow.workload == "two":
            return ()
        return (Finding(severity=Severity.BLOCKER, code="x", message="a GPU", cure="none"),)

    items = by_name(client.drains.plan("a", ask=ask))
    assert sorted(asked) == [("one", "b"), ("two", "b")]
    assert (items["one"].method, items["one"].because) == (Method.COLD, "a GPU")
    assert items["two"].method is Method.LIVE


def test_a_plan_goes_on_past_a_busy_workload(client: Client) -> None:
    def ask(workflow: Workflow) -> tuple[Finding, ...]:
        raise WorkloadBusyError(workflow.workload, "checkpoint-1")

    items = by_name(client.drains.plan("a", ask=ask))
    assert {item.method for item in items.values()} == {Method.LIVE}
    assert "checkpoint-1" in items["one"].because


def test_detached_it_prints_the_id_and_cordons_the_host(client: Client) -> None:
    code, output = typed("drain", "a", "--detach", "--deadline", "90s", "--on-deadline", "abort")
    drain = client.drains.get("a")
    assert (code, output.strip()) == (0, drain.id)
    assert drain.deadline is not None
    assert timedelta(seconds=80) < drain.deadline - now() <= timedelta(seconds=90)
    assert drain.options.on_deadline == "abort"
    assert client.hosts()[0].state == "draining"


def test_it_is_followed_to_its_end(client: Client, redis: FakeRedis) -> None:
    begun = client.drains.begin("a")
    item = Item(
        workload="one",
        containers=("one",),
        source="a",
        need=Need(),
        target="b",
        state=ItemState.DONE,
        outcome=Outcome.MOVED,
    )
    fields = {"items": (item,), "state": State.ENDED, "result": DrainResult.DRAINED, "ended": now()}
    Drains(redis).update(begun.id, lambda drain: drain.model_copy(update=fields))
    assert client.drains.wait(begun.id, timeout_seconds=5).result is DrainResult.DRAINED
    code, output = typed("drains", begun.id)
    assert code == 0
    assert "a: drained" in output
    assert "1/1" in typed("drains")[1]


def test_nothing_to_bring_home(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="was not drained"):
        typed("restore-host", "a")
    assert client.drains.recent() == []


def test_a_drain_can_be_called_off_by_its_host(client: Client) -> None:
    begun = client.drains.begin("a")
    code, output = typed("drain-cancel", "a")
    assert (code, client.drains.get(begun.id).cancel_requested) == (0, True)
    assert "podferry uncordon a" in output


@pytest.mark.usefixtures("redis")
def test_a_host_that_was_never_drained_has_none() -> None:
    with pytest.raises(InvalidRequestError, match="never drained"):
        typed("drains", "b")


def test_what_belongs_to_the_host_is_named(client: Client, redis: FakeRedis) -> None:
    Registry(redis).report(Inventory(host="a", containers=(line("agent", 8, system="true"),)))
    with pytest.raises(SystemContainersError, match=r"agent.*--ignore-system"):
        typed("drain", "a", "--yes")
    assert client.hosts()[0].cordon is None


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("word", ["soon", "-5s", "0"])
def test_a_deadline_that_is_none(word: str) -> None:
    with pytest.raises(InvalidRequestError, match="--deadline"):
        typed("drain", "a", f"--deadline={word}")


@pytest.mark.parametrize(
    ("result", "outcome", "code"),
    [
        (DrainResult.DRAINED, Outcome.MOVED, 0),
        (DrainResult.DRAINED, Outcome.COLD, 3),
        (DrainResult.INCOMPLETE, Outcome.MOVED, 1),
        (DrainResult.CANCELLED, None, 1),
    ],
)
def test_exit_codes(result: DrainResult, outcome: Outcome | None, code: int) -> None:
    item = Item(workload="one", containers=("one",), source="a", need=Need(), outcome=outcome)
    drain = new_drain("a").model_copy(update={"items": (item,), "result": result})
    assert exit_code(drain) == code
