"""Moves without memory: as asked, as a label says, and what follows when they fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from runtime import (
    CheckpointFailedError,
    ColdSpec,
    ContainerState,
    EngineError,
    FakeRuntime,
    OutOfSightError,
    RestartPolicy,
    RestoreFailedError,
)
from runtime.fake_state import FakeContainer
from runtime.preflight.facts import ProcessFacts
from storage import CheckpointNotFoundError
from tasks import control
from tasks.again import require_retryable
from tasks.context import Context
from tasks.errors import InvalidRequestError
from tasks.locate import Place
from tasks.models import (
    EventType,
    Fallback,
    Kind,
    Options,
    Outcome,
    Policy,
    Preseed,
    StepState,
    Unit,
    WorkerInfo,
    Workflow,
    new_workflow,
)
from tasks.policies import policy_of, stop_workflow
from tasks.records import Records
from tasks.registry import Registry
from tests.unit.tasks.test_groups import GROUP, Shop
from tests.unit.tasks.world import World

COLD = Options(cold=True, up_attempts=1)
CHECKPOINT = "web/20260101T000000Z-000000"


@pytest.fixture
def world(context: Context) -> World:
    return World(context)


def changed(world: World, **labels: str) -> FakeContainer:
    """A running container that changed its image: a file rewritten, another removed."""
    container = world.start_web()
    container.files["etc/motd"] = b"mine"
    container.deleted.add("/etc/issue")
    container.spec = container.spec.model_copy(update={"labels": labels})
    return container


def labelled(world: World, policy: str) -> FakeContainer:
    return changed(world, **{"podferry.policy": policy})


def arrived(world: World) -> FakeContainer:
    """The copy on b; it runs, and nothing of it is left on a."""
    copy = world.on("b")
    assert copy is not None
    assert copy.state is ContainerState.RUNNING
    assert world.on("a") is None
    assert world.hosts["a"].volumes == {}
    return copy


def back(world: World) -> FakeContainer:
    """The container on a; it runs, and nothing of it is left on b."""
    home = world.on("a")
    assert home is not None
    assert home.state is ContainerState.RUNNING
    assert home.spec.restart.name == "always"
    assert world.on("b") is None
    assert world.hosts["b"].volumes == {}
    return home


def plan(workflow: Workflow, epoch: int = 1) -> list[Unit]:
    return [step.unit for step in workflow.steps if step.epoch == epoch]


def lines(world: World, workflow: Workflow) -> list[str]:
    events = world.context.records.events(workflow.id, wait_seconds=0)
    return [event.message for _, event in events if event.type is EventType.LOG]


def test_files_and_volumes_arrive_and_the_process_is_another(world: World) -> None:
    before = changed(world)
    memory = before.memory

    ended = world.migrate(COLD)

    assert ended.outcome is Outcome.COLD, ended.reason
    assert ended.cold_as_asked
    copy = arrived(world)
    assert copy.memory not in {memory, b""}
    assert copy.id != before.id
    assert copy.files == {"etc/motd": b"mine"}
    assert copy.deleted == {"/etc/issue"}
    assert copy.spec.restart.name == "always"
    assert world.hosts["b"].volumes["data"].files == {"log": b"line"}
    with pytest.raises(CheckpointNotFoundError):  # nobody is to read along
        world.context.archives.announced(ended.archives[0])
    assert plan(ended)[-3:] == [Unit.CHECKPOINT, Unit.UP, Unit.FINISH]


def test_its_checkpoint_says_that_it_has_no_memory(world: World) -> None:
    changed(world)
    ended = world.migrate(COLD)
    manifest = world.context.archives.manifest(ended.checkpoint_id)
    assert not manifest.memory
    with pytest.raises(InvalidRequestError, match=r"ended as asked \(cold\)"):
        require_retryable(ended)


def test_it_needs_no_criu(world: World) -> None:
    container = changed(world)
    container.facts["processes"] = ProcessFacts(devices=("/dev/nvidia0",))
    for runtime in world.hosts.values():
        runtime.checkpoint_reason = "there is no CRIU"
    assert world.migrate().outcome is Outcome.UNTOUCHED
    assert world.migrate(COLD).outcome is Outcome.COLD
    arrived(world)


def test_what_a_cold_start_would_stumble_over_stops_it(world: World) -> None:
    memory = changed(world).memory
    world.start_web("b")
    ended = world.migrate(COLD)
    assert ended.outcome is Outcome.UNTOUCHED
    assert ended.next_command == "podferry migrate web --to b --cold"
    source = world.on("a")
    assert source is not None
    assert source.memory == memory


def test_what_could_not_be_copied_is_not_stopped(world: World) -> None:
    memory = changed(world).memory
    world.hosts["a"].cold_reason = "its volume is out of sight"
    ended = world.migrate(COLD)
    assert (ended.outcome, "out of sight" in ended.reason) == (Outcome.UNTOUCHED, True)
    assert back(world).memory == memory


def test_fresh_leaves_the_changed_files_out(world: World) -> None:
    changed(world)
    ended = world.migrate(COLD.model_copy(update={"fresh": True}))
    assert ended.outcome is Outcome.COLD
    copy = arrived(world)
    assert (copy.files, copy.deleted) == ({}, set())
    assert world.hosts["b"].volumes["data"].files == {"log": b"line"}


@pytest.mark.parametrize("fresh", [False, True])
def test_the_ladders_cold_start_has_the_files_of_the_checkpoint(world: World, fresh: bool) -> None:
    changed(world)
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    ended = world.migrate(Options(fresh=fresh))
    assert ended.outcome is Outcome.COLD
    assert not ended.cold_as_asked
    assert arrived(world).files == ({} if fresh else {"etc/motd": b"mine"})
    assert world.hosts["b"].volumes["data"].files == {"log": b"line"}


def test_the_layer_comes_before_anything_is_mounted_over_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(world)
    target, did = world.hosts["b"], list[str]()
    for call in ("put_archive", "initialize", "remove_paths"):
        _recorded(target, call, did, monkeypatch)
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    assert world.migrate().outcome is Outcome.COLD
    assert did == ["put_archive /", "remove_paths", "initialize", "put_archive /data"]


def _recorded(
    runtime: FakeRuntime, call: str, did: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    do = getattr(runtime, call)

    def recording(*given: object) -> None:
        did.append(" ".join([call, *(g for g in given[1:2] if isinstance(g, str))]))
        do(*given)

    monkeypatch.setattr(runtime, call, recording)


def test_a_root_that_is_read_only_has_no_changes_to_bring_back(world: World) -> None:
    container = changed(world)
    security = container.spec.security.model_copy(update={"read_only_rootfs": True})
    container.spec = container.spec.model_copy(update={"security": security})
    assert world.migrate(COLD).outcome is Outcome.COLD
    assert arrived(world).files == {}


def test_files_that_cannot_be_removed_are_told_and_no_obstacle(world: World) -> None:
    changed(world)
    world.hosts["b"].faults["remove_paths"] = [OutOfSightError("/var/lib/merged")]
    ended = world.migrate(COLD)
    assert ended.outcome is Outcome.COLD
    assert any(
        "1 removed files of the image are there again" in line for line in lines(world, ended)
    )


@pytest.mark.parametrize("moment", ["stop", "copy", "store", "run", "start"])
def test_whatever_fails_before_the_copy_runs_it_is_started_again_at_home(
    world: World, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = changed(world).memory
    source, target = world.hosts["a"], world.hosts["b"]
    lost = EngineError("the call", "no space left on device")
    match moment:
        case "stop":
            source.faults["stop"] = [lost]
        case "copy":
            source.faults["cold_copy"] = [CheckpointFailedError("web", "no space")]
        case "store":
            monkeypatch.setattr(type(world.context.archives), "publish", _failing)
        case _:
            target.faults[moment] = [lost]
    ended = world.migrate(COLD)
    never_stopped = moment in {"stop", "copy"}
    assert ended.outcome is (Outcome.RESUMED if never_stopped else Outcome.COLD), ended.reason
    assert not ended.cold_as_asked
    assert (back(world).memory == memory) == never_stopped
    assert world.hosts["a"].volumes["data"].files == {"log": b"line"}
    require_retryable(ended)


def _failing(*_: object) -> None:
    raise EngineError("the store", "gone")


def test_when_even_that_fails_nothing_is_said_of_a_memory(world: World) -> None:
    changed(world)
    lost = EngineError("the call", "no")
    world.hosts["b"].faults["run"] = [lost]
    world.hosts["a"].faults["start"] = [lost]
    ended = world.migrate(COLD)
    assert ended.outcome is Outcome.FAILED
    assert "memory" not in ended.reason
    assert ended.next_command == f"podferry resume {ended.id}"
    control.resume(world.context.records, ended.id, ["a", "b"])
    while (seen := world.context.records.get(ended.id)).outcome is None:
        world.run_plan(seen)
    assert seen.outcome is Outcome.COLD
    back(world)


def test_another_host_is_tried_cold_too(context: Context, redis: FakeRedis) -> None:
    registry = Registry(redis)
    world = World(replace(context, registry=registry))
    world.hosts["c"] = FakeRuntime()
    for host in world.hosts:
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1))
    changed(world)
    world.hosts["b"].faults["run"] = [EngineError("the call", "no")]
    ended = world.migrate(COLD)
    assert (ended.outcome, ended.target) == (Outcome.COLD, "c")
    assert ended.cold_as_asked
    assert Unit.RESTORE not in {step.unit for step in ended.steps}
    assert world.hosts["c"].volumes["data"].files == {"log": b"line"}
    assert world.on("a") is None
    assert world.on("b") is None


def test_a_cancel_before_the_stop_leaves_it_alone_and_after_it_starts_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(world)
    target = world.hosts["b"]
    run = target.run

    def cancelled(spec: object) -> str:
        (live,) = world.context.records.live()
        control.cancel(world.context.records, live.id)
        return run(spec)  # type: ignore[arg-type]

    monkeypatch.setattr(target, "run", cancelled)
    ended = world.migrate(COLD)
    assert ended.outcome is Outcome.CANCELLED
    back(world)


@pytest.mark.parametrize(("own", "left", "given"), [(30, 3600, 30), (30, 21, 10), (30, 1, 0)])
def test_it_has_its_own_time_to_end_but_not_past_the_deadline(
    world: World, own: int, left: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = changed(world)
    container.spec = container.spec.model_copy(update={"stop_timeout_seconds": own})
    asked: list[int | None] = []
    copy = world.hosts["a"].cold_copy

    def noting(name: str, spec: ColdSpec) -> object:
        asked.append(spec.stop_timeout_seconds)
        return copy(name, spec)

    monkeypatch.setattr(world.hosts["a"], "cold_copy", noting)
    workflow = new_workflow(
        *(Kind.MIGRATE, "web"), source="a", target="b", checkpoint_id=CHECKPOINT, options=COLD
    )
    moment = workflow.deadline - timedelta(seconds=left)
    monkeypatch.setattr("tasks.units.cold.now", lambda: moment)
    assert world.run(workflow).outcome is Outcome.COLD
    assert asked == [given]


def test_a_label_makes_a_move_cold(world: World) -> None:
    labelled(world, "cold")
    ended = world.migrate(Options(preseed=Preseed.ON))
    assert ended.outcome is Outcome.COLD, ended.reason
    assert ended.cold_as_asked
    assert arrived(world).files == {"etc/motd": b"mine"}
    assert any("podferry.policy=cold" in line for line in lines(world, ended))
    for step in ended.steps:
        assert step.state is StepState.DONE
    sent = ended.done(Unit.PRESEED)
    assert sent is not None
    assert sent.result["bytes"] == 0


def test_a_label_forbids_a_cold_start(world: World) -> None:
    memory = labelled(world, "live").memory
    refused = world.migrate(COLD)
    assert refused.outcome is Outcome.UNTOUCHED
    assert "podferry.policy=live" in refused.reason
    assert [step.error.type for step in refused.steps if step.error] == ["InvalidRequestError"]
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    ended = world.migrate(Options(fallback=(Fallback.COLD, Fallback.RESUME)))
    assert ended.outcome is Outcome.RESUMED
    assert back(world).memory == memory


@pytest.mark.parametrize("policy", ["auto", "stop", "live", ""])
def test_other_labels_move_with_memory(world: World, policy: str) -> None:
    memory = labelled(world, policy).memory
    assert world.migrate().outcome is Outcome.MOVED
    assert arrived(world).memory == memory


def test_a_label_that_is_none_refuses(world: World) -> None:
    labelled(world, "lukewarm")
    ended = world.migrate()
    assert ended.outcome is Outcome.UNTOUCHED
    assert "podferry.policy=lukewarm is none of: auto, live, cold, stop" in ended.reason


def test_containers_of_one_workload_have_one_policy() -> None:
    def policy(*words: str) -> Policy:
        return policy_of([{"podferry.policy": word} if word else {} for word in words])

    assert policy() is Policy.AUTO
    assert policy("", "cold", "auto", "cold") is Policy.COLD
    with pytest.raises(InvalidRequestError, match="do not agree: cold, live"):
        policy("live", "cold")


def test_a_project_goes_cold_as_a_whole(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(context)
    shop.on("a")["api"].files["state"] = b"api"
    memory = shop.memory("a")
    order: list[str] = []
    for host, call in (("a", "stop"), ("b", "start")):
        _noted(shop.world.hosts[host], call, order, monkeypatch)
    ended = shop.world.run(shop.workflow(Kind.MIGRATE, options=COLD))
    assert ended.outcome is Outcome.COLD, ended.reason
    assert order == ["web", "db", "api", "api", "db", "web"]
    assert set(shop.memory("b")) == set(memory)
    assert all(shop.memory("b")[name] != memory[name] for name in memory)
    assert shop.on("b")["api"].files == {"state": b"api"}
    assert shop.world.hosts["b"].volumes["data"].files == {"log": b"line"}
    assert (shop.on("a"), shop.world.hosts["a"].volumes) == ({}, {})
    assert not any(
        context.archives.manifest(m).memory for m in context.archives.group(GROUP).members
    )


def test_a_shared_volume_is_in_one_archive_only(context: Context) -> None:
    shop = Shop(context)
    shop.world.run(shop.workflow(Kind.MIGRATE, options=COLD))
    held = {}
    for member in context.archives.group(GROUP).members:
        tar = b"".join(context.archives.read_checkpoint(context.archives.manifest(member)))
        held[member.partition("/")[0]] = b"volumes/data.tar" in tar
    assert held == {"api": True, "db": False, "web": False}


def _noted(
    runtime: FakeRuntime, call: str, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    do = getattr(runtime, call)

    def noting(container: str, **options: object) -> None:
        order.append(runtime.inspect(container).name)
        do(container, **options)

    monkeypatch.setattr(runtime, call, noting)


@pytest.mark.parametrize("member", [0, 1, 2])
def test_a_project_of_which_one_cannot_be_stopped_runs_on(context: Context, member: int) -> None:
    shop = Shop(context)
    copy = shop.world.hosts["a"].cold_copy
    calls = iter(range(3))

    def failing(*arguments: object) -> object:
        if next(calls) == member:
            raise CheckpointFailedError("it", "no")
        return copy(*arguments)  # type: ignore[arg-type]

    shop.world.hosts["a"].cold_copy = failing  # type: ignore[method-assign, assignment]
    ended = shop.world.run(shop.workflow(Kind.MIGRATE, options=COLD))
    assert ended.outcome is (Outcome.COLD if member else Outcome.RESUMED)
    assert {c.state for c in shop.on("a").values()} == {ContainerState.RUNNING}
    assert {c.spec.restart.name for c in shop.on("a").values()} == {"always"}
    assert shop.on("b") == {}


def stopped(world: World) -> Workflow:
    place = Place(host="a", name="web")
    return world.run(stop_workflow(place, 3600.0))


def test_what_is_stopped_stays_and_is_started_again_with_its_policy(world: World) -> None:
    container = changed(world)
    world.hosts["a"].checkpoint_reason = "there is no CRIU"  # which a stop needs not
    ended = stopped(world)
    assert ended.outcome is Outcome.STOPPED
    assert (container.state, container.spec.restart) == (ContainerState.EXITED, RestartPolicy())
    assert world.context.archives.checkpoints() == []

    control.resume(world.context.records, ended.id, ["a", "b"])
    world.run_plan(world.context.records.get(ended.id))

    again = world.context.records.get(ended.id)
    assert again.outcome is Outcome.STARTED, again.reason
    assert back(world).files == {"etc/motd": b"mine"}


def test_a_stop_that_fails_leaves_it_running(world: World) -> None:
    memory = changed(world).memory
    world.hosts["a"].faults["stop"] = [EngineError("stop", "no")]
    assert stopped(world).outcome is Outcome.RESUMED
    assert back(world).memory == memory


def test_what_would_vanish_is_not_stopped(world: World) -> None:
    container = changed(world)
    container.spec = container.spec.model_copy(update={"auto_remove": True})
    ended = stopped(world)
    assert ended.outcome is Outcome.FAILED
    assert "--rm" in ended.reason
    assert container.state is ContainerState.RUNNING


def test_the_record_of_a_stop_is_kept_until_it_is_needed(
    redis: FakeRedis, context: Context
) -> None:
    records = Records(redis, keep=timedelta(days=1))
    world = World(replace(context, records=records))
    changed(world)
    ended = stopped(world)
    left = redis.ttl(f"podferry:workflow:{ended.id}")
    assert isinstance(left, int)
    assert left > timedelta(days=300).total_seconds()


def test_a_cold_checkpoint_is_never_given_to_criu(world: World) -> None:
    changed(world)
    made = world.migrate(COLD)
    world.hosts["b"].remove("web", force=True)
    world.hosts["b"].remove_volume("data")
    request = new_workflow(Kind.RESTORE, "web", target="b", checkpoint_id=made.checkpoint_id)
    refused = world.run(request)
    assert refused.outcome is Outcome.FAILED
    assert "holds no memory" in refused.reason
    asked = new_workflow(
        *(Kind.RESTORE, "web"),
        target="b",
        checkpoint_id=made.checkpoint_id,
        options=Options(cold=True),
    )
    ended = world.run(asked)
    assert ended.outcome is Outcome.COLD
    assert ended.cold_as_asked
    assert arrived(world).files == {"etc/motd": b"mine"}


def test_a_cold_restore_replaces_when_asked_to(world: World) -> None:
    changed(world)
    made = world.migrate(COLD)
    world.hosts["b"].volumes["data"].files["log"] = b"later"
    request = new_workflow(
        *(Kind.RESTORE, "web"),
        target="b",
        checkpoint_id=made.checkpoint_id,
        options=Options(cold=True, replace=True),
    )
    assert world.run(request).outcome is Outcome.COLD
    assert world.hosts["b"].volumes["data"].files == {"log": b"line"}


def test_a_stop_that_nobody_saw_the_end_of_is_ended_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine starts nothing that it is still stopping."""
    container = changed(world)
    source = world.hosts["a"]
    stop, start = source.stop, source.start

    def lost(_: str, __: ColdSpec) -> None:
        container.state = ContainerState.OTHER
        raise CheckpointFailedError("web", "the connection was lost")

    def ended(name: str, *, timeout_seconds: int | None = None) -> None:
        container.state = ContainerState.RUNNING
        stop(name, timeout_seconds=timeout_seconds)

    def started(name: str) -> None:
        assert container.state is ContainerState.EXITED
        start(name)

    monkeypatch.setattr(source, "cold_copy", lost)
    monkeypatch.setattr(source, "stop", ended)
    monkeypatch.setattr(source, "start", started)
    assert world.migrate(COLD).outcome is Outcome.COLD
    back(world)
