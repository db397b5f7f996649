from __future__ import annotations

from collections.abc import Iterable

import pytest
from fakeredis import FakeRedis

from runtime import (
    AddressTakenError,
    ContainerState,
    EngineError,
    EngineUnavailableError,
    ExecResult,
    FakeRuntime,
    NetworkAttachment,
    NetworkSpec,
    RestartPolicy,
    RestoreFailedError,
    RestoreSpec,
    RunSpec,
    Subnet,
    VolumeSpec,
)
from tasks.context import Context
from tasks.models import Fallback, Kind, Options, Outcome, Unit, new_workflow
from tests.unit.tasks.world import World

ONE_TRY = Options(up_attempts=1)


@pytest.fixture
def world(context: Context) -> World:
    return World(context)


def down() -> EngineUnavailableError:
    return EngineUnavailableError("/run/podman.sock", "connection refused")


def test_a_migration_carries_memory_volume_image_and_restart_policy(world: World) -> None:
    before = world.start_web()
    memory = before.memory
    ended = world.migrate()
    assert ended.outcome is Outcome.MOVED, ended.reason
    after = world.on("b")
    assert after is not None
    assert after.state is ContainerState.RUNNING
    assert after.memory == memory
    assert after.id == before.id
    assert after.spec.restart.name == "always"
    assert world.hosts["b"].volumes["data"].files == {"log": b"line"}
    assert world.on("a") is None
    assert "data" not in world.hosts["a"].volumes


def test_what_is_not_kept_is_said_before_the_source_is_touched(world: World) -> None:
    world.start_web()
    world.hosts["a"].losses = ("/www is the host's own /srv/www: its files stay here",)

    ended = world.migrate()

    (said,) = (
        event
        for _, event in world.context.records.events(ended.id)
        if event.message == f"not kept: {world.hosts['a'].losses[0]}"
    )
    assert said.unit is Unit.DESCRIBE


def test_criu_s_statistics_stand_in_the_manifest(world: World) -> None:
    world.start_web()

    ended = world.migrate()

    manifest = world.context.archives.manifest(ended.checkpoint_id)
    assert manifest.statistics == {"pages_written": 1}


def test_no_secret_stands_in_the_record(world: World, redis: FakeRedis) -> None:
    world.start_web()
    world.migrate()
    for key in redis.scan_iter():
        content = redis.dump(key)
        assert content is not None
        assert b"s3cret" not in content, key


def test_a_failed_restore_goes_cold_with_the_volume(world: World) -> None:
    memory = world.start_web().memory
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    ended = world.migrate()
    assert ended.outcome is Outcome.COLD
    assert "no CRIU" in ended.reason
    after = world.on("b")
    assert after is not None
    assert after.state is ContainerState.RUNNING
    assert after.memory != memory
    assert world.hosts["b"].volumes["data"].files == {"log": b"line"}
    assert world.on("a") is None


@pytest.mark.parametrize(
    ("asked_for", "outcome"), [("", Outcome.MOVED), ("10.9.0.7", Outcome.COLD)]
)
def test_an_address_that_was_taken_meanwhile_is_given_up_unless_it_was_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, asked_for: str, outcome: Outcome
) -> None:
    for runtime in world.hosts.values():
        runtime.create_network(NetworkSpec(name="net", subnets=(Subnet(subnet="10.9.0.0/24"),)))
    memory = world.start_web(networks=(NetworkAttachment(name="net", ipv4=asked_for),)).memory
    target = world.hosts["b"]
    tries: list[bool] = []

    def restore(chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        tries.append(spec.ignore_static_ip and spec.ignore_static_mac)
        if not tries[-1]:
            b"".join(chunks)
            raise AddressTakenError(archive, "requested ip address is already allocated")
        return FakeRuntime.restore(target, chunks, spec, archive=archive)

    monkeypatch.setattr(target, "restore", restore)

    ended = world.migrate()

    assert ended.outcome is outcome, ended.reason
    assert tries == ([False] if asked_for else [False, True])
    after = world.on("b")
    assert after is not None
    assert (after.memory == memory) is not bool(asked_for)


def test_fallback_resume_brings_the_memory_back_on_the_source(world: World) -> None:
    memory = world.start_web().memory
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    ended = world.migrate(Options(fallback=(Fallback.RESUME,)))
    assert ended.outcome is Outcome.RESUMED
    back = world.on("a")
    assert back is not None
    assert (back.state, back.memory) == (ContainerState.RUNNING, memory)
    assert back.spec.restart.name == "always"
    assert world.on("b") is None
    assert world.hosts["b"].volumes == {}


def test_a_cold_start_that_cannot_succeed_gives_the_memory_back_to_the_source(
    world: World,
) -> None:
    memory = world.start_web().memory
    world.hosts["b"].faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    world.hosts["b"].faults["start"] = [down()]
    ended = world.migrate(ONE_TRY)
    assert ended.outcome is Outcome.RESUMED
    back = world.on("a")
    assert back is not None
    assert (back.state, back.memory) == (ContainerState.RUNNING, memory)
    assert world.on("b") is None


def test_a_target_whose_socket_is_down_is_found_before_the_source_is_touched(
    world: World,
) -> None:
    memory = world.start_web().memory
    world.hosts["b"].faults["ping"] = [down()] * 3  # it is tried again
    ended = world.migrate()
    assert ended.outcome is Outcome.UNTOUCHED
    source = world.on("a")
    assert source is not None
    assert (source.state, source.memory) == (ContainerState.RUNNING, memory)


@pytest.mark.parametrize("there", ["container", "volume"])
def test_what_the_target_already_has_is_never_touched(world: World, there: str) -> None:
    world.start_web()
    target = world.hosts["b"]
    if there == "container":
        world.start_web("b")
    else:
        target.create_volume(VolumeSpec(name="data"))
        target.volumes["data"].files["theirs"] = b"precious"
    volumes = {name: dict(v.files) for name, v in target.volumes.items()}
    ended = world.migrate()
    assert ended.outcome is Outcome.UNTOUCHED
    assert {name: dict(v.files) for name, v in target.volumes.items()} == volumes
    assert (world.on("b") is not None) == (there == "container")


def test_a_shared_volume_is_not_torn_in_two(world: World) -> None:
    spec = world.start_web().spec
    world.hosts["a"].run(spec.model_copy(update={"name": "other"}))
    ended = world.migrate()
    assert ended.outcome is Outcome.UNTOUCHED
    assert "shared" in ended.reason


def test_an_unhealthy_copy_does_not_count_as_moved(world: World) -> None:
    spec = world.start_web().spec
    label = '{"test": "test -e /ok", "retries": 1}'
    labelled = spec.model_copy(update={"labels": {"podferry.health": label}})
    world.hosts["a"].containers_by_id[next(iter(world.hosts["a"].containers_by_id))].spec = labelled
    check = ("/bin/sh", "-c", "test -e /ok")
    world.hosts["b"].commands[check] = lambda _: ExecResult(exit_code=1, output=b"")
    ended = world.migrate(Options(fallback=(Fallback.RESUME,)))
    assert ended.outcome is Outcome.RESUMED
    assert "check failed" in ended.reason
    assert world.on("b") is None


def test_a_stopped_or_missing_container_is_refused(world: World) -> None:
    ended = world.migrate()
    assert (ended.outcome, "no container 'web'" in ended.reason) == (Outcome.UNTOUCHED, True)
    world.hosts["a"].stop(world.start_web().id)
    ended = world.migrate()
    assert (ended.outcome, "only a running container" in ended.reason) == (Outcome.UNTOUCHED, True)


def test_a_source_that_runs_again_is_not_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = world.start_web()
    target = world.hosts["b"]
    given_back = target.update_restart_policy

    def while_someone_starts_the_source(name: str, policy: RestartPolicy) -> None:
        world.hosts["a"].start(container.id)
        given_back(name, policy)

    monkeypatch.setattr(target, "update_restart_policy", while_someone_starts_the_source)
    ended = world.migrate()
    assert ended.outcome is Outcome.MOVED
    assert "runs again" in ended.reason
    assert world.on("a") is not None


def test_a_checkpoint_leaves_the_container_running_with_its_memory(world: World) -> None:
    memory = world.start_web().memory
    workflow = new_workflow(
        Kind.CHECKPOINT, "web", source="a", checkpoint_id="web/20260101T000000Z-000001"
    )
    assert world.run(workflow).outcome is Outcome.CHECKPOINTED
    source = world.on("a")
    assert source is not None
    assert (source.state, source.memory) == (ContainerState.RUNNING, memory)
    assert source.spec.restart.name == "always"
    assert [m.id for m in world.context.archives.checkpoints()] == [workflow.checkpoint_id]


def test_a_checkpoint_is_restored_where_nothing_else_is_left(world: World) -> None:
    memory = world.start_web().memory
    checkpoint_id = "web/20260101T000000Z-000001"
    world.run(new_workflow(Kind.CHECKPOINT, "web", source="a", checkpoint_id=checkpoint_id))
    restore = new_workflow(Kind.RESTORE, "web", target="b", checkpoint_id=checkpoint_id)
    assert world.run(restore).outcome is Outcome.RESTORED
    copy = world.on("b")
    assert copy is not None
    assert copy.memory == memory


def test_a_restore_replaces_only_when_asked_to(world: World) -> None:
    checkpoint_id = "web/20260101T000000Z-000001"
    memory = world.start_web().memory
    world.run(new_workflow(Kind.CHECKPOINT, "web", source="a", checkpoint_id=checkpoint_id))
    world.hosts["a"].volumes["data"].files["log"] = b"later"
    refused = world.run(new_workflow(Kind.RESTORE, "web", target="a", checkpoint_id=checkpoint_id))
    assert refused.outcome is Outcome.FAILED
    assert world.hosts["a"].volumes["data"].files == {"log": b"later"}
    replaced = new_workflow(
        Kind.RESTORE,
        "web",
        target="a",
        checkpoint_id=checkpoint_id,
        options=Options(replace=True),
    )
    assert world.run(replaced).outcome is Outcome.RESTORED
    back = world.on("a")
    assert back is not None
    assert back.memory == memory
    assert world.hosts["a"].volumes["data"].files == {"log": b"line"}


def test_up_never_removes_volumes_that_were_there_before(world: World) -> None:
    spec: RunSpec = world.start_web().spec
    world.hosts["a"].remove("web", force=True)
    world.hosts["a"].faults["start"] = [down()]
    workflow = new_workflow(Kind.UP, "web", target="a", options=ONE_TRY)
    ended = world.run(workflow, spec.model_dump_json().encode())
    assert ended.outcome is Outcome.FAILED
    assert world.on("a") is None
    assert world.hosts["a"].volumes["data"].files == {"log": b"line"}


def test_an_image_that_the_target_has_is_not_carried(world: World) -> None:
    world.start_web()
    world.hosts["b"].images.update(world.hosts["a"].images)
    ended = world.migrate()
    assert ended.outcome is Outcome.MOVED
    pushed = ended.done(Unit.PUSH_IMAGE)
    assert pushed is not None
    assert pushed.result == {"bytes": 0}


def test_the_target_gets_the_sources_networks_and_volumes(world: World) -> None:
    source, target = world.hosts["a"], world.hosts["b"]
    subnet = Subnet(subnet="10.9.0.0/24", gateway="10.9.0.1")
    network = NetworkSpec(name="front", labels={"a": "b"}, internal=True, subnets=(subnet,))
    volume = VolumeSpec(name="data", labels={"c": "d"}, options={"type": "tmpfs"})
    source.create_network(network)
    source.create_volume(volume)
    world.start_web(networks=(NetworkAttachment(name="front"),))
    target.faults["restore"] = [RestoreFailedError("web", "no CRIU")]
    assert world.migrate().outcome is Outcome.COLD
    assert target.network("front") == network
    assert target.volume("data") == volume


@pytest.mark.parametrize("fixed", [False, True])
def test_a_subnet_that_the_target_uses_already_is_given_up_unless_it_matters(
    world: World, fixed: bool
) -> None:
    source, target = world.hosts["a"], world.hosts["b"]
    source.create_network(NetworkSpec(name="front", subnets=(Subnet(subnet="10.9.0.0/24"),)))
    world.start_web(networks=(NetworkAttachment(name="front", ipv4="10.9.0.5" if fixed else ""),))
    taken = EngineError("creation of network", "subnet is already used")
    target.faults["create_network"] = [taken, taken] if fixed else [taken]
    ended = world.migrate(ONE_TRY)
    if fixed:
        assert ended.outcome is Outcome.RESUMED
        assert not target.network_exists("front")
    else:
        assert ended.outcome is Outcome.MOVED
        assert target.network("front") == NetworkSpec(name="front")


def test_a_volume_that_is_there_is_used_by_a_new_container_as_it_is(world: World) -> None:
    spec = world.start_web().spec
    host = world.hosts["b"]
    host.images.update(world.hosts["a"].images)
    host.create_volume(VolumeSpec(name="data", labels={"made": "by hand"}))
    host.volumes["data"].files["theirs"] = b"precious"
    workflow = new_workflow(Kind.UP, "web", target="b", options=ONE_TRY)
    assert world.run(workflow, spec.model_dump_json().encode()).outcome is Outcome.STARTED
    assert host.volumes["data"].files == {"theirs": b"precious"}
