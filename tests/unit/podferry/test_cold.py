"""What a person says and sees of cold moves, over records and a store in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakeredis import FakeRedis
from typer.testing import CliRunner, Result

from podferry import Client, Kind, Outcome, Preseed, Settings, Unit, Workflow
from podferry import client as clients
from podferry.cli.common import exit_code
from podferry.cli.follow import summary
from podferry.cli.main import app
from runtime import RunSpec
from storage import (
    UNENCRYPTED,
    ArchiveStore,
    CheckpointManifest,
    GroupManifest,
    ImageRef,
    MemoryObjectStore,
    member_checkpoint_id,
    new_archive_prefix,
)
from tasks import locate
from tasks.errors import InvalidRequestError
from tasks.models import Inventory, Options, StepState, WorkerInfo, WorkloadLine, new_workflow, now
from tasks.plans import end, first_plan, planned
from tasks.records import Records
from tasks.registry import Registry

WEB = "web/20260101T000000Z-000000"
SHOP = "shop/20260101T000000Z-000000"


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRedis]:
    """Hosts a, where web runs, and b; a control worker."""
    connection = FakeRedis(protocol=2)
    monkeypatch.setattr(clients, "connect", lambda _: connection)
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    monkeypatch.setenv("PODFERRY_REDIS_URL", "redis://x")
    registry = Registry(connection)
    for host in "ab":
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1, control=True))
    line = WorkloadLine(name="web", id="1" * 64, image="web", state="running")
    registry.report(Inventory(host="a", containers=(line,)))
    registry.report(Inventory(host="b"))
    yield connection
    connection.close()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ArchiveStore:
    """A store with a cold checkpoint of web, and one of a project of which one is cold."""
    store = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
    members = [member_checkpoint_id(SHOP, name) for name in ("api", "db")]
    for checkpoint_id, memory in ((WEB, False), (members[0], True), (members[1], False)):
        name = checkpoint_id.partition("/")[0]
        archive = store.write(new_archive_prefix(f"checkpoints/{checkpoint_id}"), [b"tar"])
        store.publish(
            CheckpointManifest(
                id=checkpoint_id,
                workload=name,
                created=now(),
                host="a",
                container_id="1" * 64,
                memory=memory,
                image=ImageRef(name="web", id="2" * 64, archived=False),
                spec=RunSpec(name=name, image="web").model_dump(mode="json"),
                archive=archive,
            )
        )
    group = GroupManifest(
        id=SHOP, workload="shop", kind="project", created=now(), host="a", members=tuple(members)
    )
    store.publish_group(group)
    monkeypatch.setattr(Settings, "archives", lambda _: store)
    return store


def client() -> Client:
    return Client(Settings(redis_url="redis://x"))


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def asked(redis: FakeRedis) -> Workflow:
    (workflow,) = Records(redis).live()
    return workflow


def ended(outcome: Outcome, *, cold: bool, up: bool) -> Workflow:
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b", options=Options(cold=cold))
    workflow = planned(workflow, first_plan(workflow))
    state = StepState.DONE if up else StepState.FAILED
    steps = (
        step.model_copy(update={"state": state}) if step.unit is Unit.UP else step
        for step in workflow.steps
    )
    return end(workflow.model_copy(update={"steps": tuple(steps)}), outcome)


def test_the_command_asks_for_a_cold_move(redis: FakeRedis) -> None:
    done = typed("migrate", "web", "--to", "b", "--cold", "--fresh", "--detach")
    assert done.exit_code == 0, done.output
    options = asked(redis).options
    assert (options.cold, options.fresh, options.preseed) == (True, True, Preseed.OFF)


def test_without_the_flag_it_does_not(redis: FakeRedis) -> None:
    assert typed("migrate", "web", "--to", "b", "--detach").exit_code == 0
    options = asked(redis).options
    assert (options.cold, options.fresh) == (False, False)


@pytest.mark.usefixtures("redis")
def test_nothing_is_sent_ahead_of_a_cold_move() -> None:
    done = typed("migrate", "web", "--to", "b", "--cold", "--preseed")
    assert isinstance(done.exception, InvalidRequestError)


def test_a_preflight_of_a_cold_move(redis: FakeRedis) -> None:
    workflow = client().preflight("web", to="b", cold=True)
    assert asked(redis) == workflow
    assert workflow.options.cold


@pytest.mark.parametrize(
    ("cold", "up", "code", "says"),
    [
        (True, True, 0, "web moved cold from a to b"),
        (False, True, 3, "web was started cold on b"),
        (True, False, 3, "web was started cold on"),
    ],
)
def test_what_was_asked_for_is_a_success(cold: bool, up: bool, code: int, says: str) -> None:
    workflow = ended(Outcome.COLD, cold=cold, up=up)
    assert exit_code(workflow) == code
    assert summary(workflow).startswith(says)


def test_a_stop_is_a_success_and_says_how_to_start_it_again() -> None:
    workflow = end(
        planned(new_workflow(Kind.STOP, "web", source="a"), ((Unit.STOP, "a"),)), Outcome.STOPPED
    )
    assert exit_code(workflow) == 0
    assert f"podferry resume {workflow.id}" in summary(workflow)


def test_the_client_asks_for_a_stop(redis: FakeRedis) -> None:
    workflow = client().stop("web")
    assert asked(redis) == workflow
    assert (workflow.kind, workflow.source, workflow.target) == (Kind.STOP, "a", None)
    assert [unit for unit, _ in first_plan(workflow)] == [Unit.DESCRIBE, Unit.STOP]


@pytest.mark.usefixtures("redis", "store")
def test_a_cold_checkpoint_is_listed_and_shown_as_one() -> None:
    listed = typed("checkpoints", "ls").output.splitlines()
    assert [line.rstrip().endswith(" cold") for line in listed if WEB in line] == [True]
    assert not any(" cold" in line for line in listed if "api/" in line)
    assert "none, it is cold" in typed("checkpoints", "show", WEB).output
    assert '"memory": false' in typed("checkpoints", "show", WEB, "-o", "json").output


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("checkpoint", [WEB, SHOP])
def test_what_has_no_memory_is_not_restored_but_started(redis: FakeRedis, checkpoint: str) -> None:
    Registry(redis).report(Inventory(host="a"))
    workflow = client().restore(checkpoint, to="b")
    assert workflow.options.cold
    assert [unit for unit, _ in first_plan(workflow)] == [Unit.PULL_IMAGE, Unit.UP]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("fresh", [False, True])
def test_a_heal_starts_it_cold_too(redis: FakeRedis, fresh: bool) -> None:
    redis.delete("podferry:alive:host.a")
    (item,) = client().heal("a", fenced=True, fresh=fresh)
    assert item.cold
    options = Records(redis).get(item.workflow_id).options
    assert (options.cold, options.fresh, options.heal) == (True, fresh, True)
