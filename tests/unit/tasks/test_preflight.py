"""How the units judge by findings, on fake hosts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakeredis import FakeRedis

from runtime import Canary, CanaryState, ContainerState, Severity
from runtime.preflight.facts import PathKind, ProcessFacts
from storage import (
    UNENCRYPTED,
    ArchiveStore,
    Key,
    KeyMissingError,
    MemoryObjectStore,
    StaticKeyring,
)
from tasks.context import Context
from tasks.facts import findings_of
from tasks.models import EventType, Kind, Options, Outcome, Unit, Workflow, new_workflow
from tasks.registry import Registry
from tests.unit.tasks.world import World

FAILED = Canary(state=CanaryState.FAILED, reason="criu: not found")
OK = Canary(state=CanaryState.OK, criu_version="4.2.1")


@pytest.fixture
def registry(redis: FakeRedis) -> Registry:
    registry = Registry(redis)
    for host in ("a", "b"):
        registry.report_canary(host, OK)
    return registry


@pytest.fixture
def world(context: Context, registry: Registry) -> World:
    return World(replace(context, registry=registry))


def asked(world: World, *, canary: bool = False) -> Workflow:
    options = Options(canary=canary)
    return world.run(new_workflow(Kind.PREFLIGHT, "web", source="a", target="b", options=options))


def codes(workflow: Workflow, severity: Severity = Severity.BLOCKER) -> list[str]:
    return [f.code for f in findings_of(workflow) if f.severity is severity]


def lines(world: World, workflow: Workflow) -> list[str]:
    events = world.context.records.events(workflow.id, wait_seconds=0)
    return [event.message for _, event in events if event.type is EventType.LOG]


def untouched(world: World, memory: bytes) -> bool:
    source = world.on("a")
    assert source is not None
    return (source.state, source.memory) == (ContainerState.RUNNING, memory)


class OtherKeys(StaticKeyring):
    """The target has not what the source seals with."""

    def find(self, key_id: str) -> Key:
        raise KeyMissingError(key_id, "key file /b/keys.json")


def test_a_target_without_the_source_s_key_is_refused_untouched(world: World) -> None:
    memory = world.start_web().memory
    archives = ArchiveStore(MemoryObjectStore(), keys=OtherKeys(UNENCRYPTED.current()))
    apart = World(replace(world.context, archives=archives), hosts=world.hosts)

    ended = apart.migrate()

    assert ended.outcome is Outcome.UNTOUCHED
    assert "key none is not in key file /b/keys.json" in ended.reason
    assert untouched(apart, memory)


def test_a_question_changes_nothing_and_frees_the_workload(world: World) -> None:
    memory = world.start_web().memory
    for _ in range(2):
        ended = asked(world)
        assert (ended.outcome, findings_of(ended)) == (Outcome.CHECKED, ())
        assert not ended.source_stopped
        assert ended.touched is None
    assert untouched(world, memory)
    assert world.on("b") is None


def test_a_question_brings_findings_of_both_hosts_at_once(world: World) -> None:
    container = world.start_web()
    container.facts["auto_remove"] = True
    world.hosts["b"].host = world.hosts["b"].host.model_copy(update={"rootless": True})
    world.hosts["b"].images.clear()

    ended = asked(world)

    assert ended.outcome is Outcome.CHECKED
    assert codes(ended) == ["auto-remove", "rootless"]


def test_blockers_of_the_source_end_a_move_before_the_target_is_asked(world: World) -> None:
    container = world.start_web()
    container.facts.update({"auto_remove": True, "systemd": True})
    world.hosts["b"].faults["target_facts"] = [AssertionError("nobody asks")]

    ended = world.migrate()

    assert ended.outcome is Outcome.UNTOUCHED
    assert "--rm" in ended.reason
    assert ended.reason.endswith("(and 1 more)")
    assert codes(ended) == ["auto-remove", "systemd"]
    failed = ended.failed_step
    assert failed is not None
    assert failed.unit is Unit.DESCRIBE
    assert failed.error is not None
    assert failed.error.type == "NotMovableError"
    assert untouched(world, container.memory)


def test_blockers_of_the_target_end_a_move_with_the_source_untouched(world: World) -> None:
    container = world.start_web()
    container.facts["processes"] = ProcessFacts()
    world.hosts["b"].host = world.hosts["b"].host.model_copy(update={"oci_runtime": "crun"})

    ended = world.migrate()

    assert ended.outcome is Outcome.UNTOUCHED
    assert codes(ended) == ["runtime-differs"]
    assert "b restores with crun" in ended.reason
    assert untouched(world, container.memory)


def test_warnings_are_logged_and_stop_nothing(world: World) -> None:
    world.start_web()
    world.hosts["b"].host = world.hosts["b"].host.model_copy(update={"kernel": "5.10.0"})

    ended = world.migrate()

    assert ended.outcome is Outcome.MOVED
    assert codes(ended, Severity.WARNING) == ["kernel-older"]
    [line] = lines(world, ended)
    assert line.startswith("warning: b has the older kernel")


def test_a_path_that_the_target_lacks_is_a_blocker(world: World) -> None:
    container = world.start_web()
    mount = container.spec.mounts[0].model_copy(update={"type": "bind", "source": "/srv"})
    container.spec = container.spec.model_copy(update={"mounts": (mount,)})
    world.hosts["b"].paths["/srv"] = PathKind.MISSING
    assert codes(world.migrate()) == ["bind-missing"]


def test_a_plain_checkpoint_does_not_care_where_bind_mounts_lead(world: World) -> None:
    container = world.start_web()
    mount = container.spec.mounts[0].model_copy(update={"type": "bind", "source": "/srv"})
    container.spec = container.spec.model_copy(update={"mounts": (mount,)})
    workflow = new_workflow(
        Kind.CHECKPOINT, "web", source="a", checkpoint_id="web/20260101T000000Z-000000"
    )
    ended = world.run(workflow)
    assert ended.outcome is Outcome.CHECKPOINTED, ended.reason
    assert findings_of(ended) == ()


def test_a_canary_that_went_well_is_trusted(world: World) -> None:
    world.start_web()
    for runtime in world.hosts.values():
        runtime.faults["canary"] = [AssertionError("nobody asks")]
    assert world.migrate().outcome is Outcome.MOVED


def test_a_canary_that_failed_is_tried_again_before_it_refuses(
    world: World, registry: Registry
) -> None:
    world.start_web()
    registry.report_canary("b", FAILED)
    world.hosts["b"].next_canary = FAILED
    ended = world.migrate()
    assert (ended.outcome, codes(ended)) == (Outcome.UNTOUCHED, ["criu-failed"])
    assert "criu: not found" in ended.reason

    world.hosts["b"].next_canary = OK
    assert world.migrate().outcome is Outcome.MOVED
    assert registry.canary("b") == OK


def test_a_canary_can_be_asked_for(world: World, registry: Registry) -> None:
    world.start_web()
    world.hosts["a"].next_canary = FAILED
    assert codes(asked(world)) == []
    assert codes(asked(world, canary=True)) == ["criu-failed"]
    assert registry.canary("a") == FAILED


def test_without_a_registry_nothing_is_proven(context: Context) -> None:
    world = World(context)
    world.start_web()
    ended = world.migrate()
    assert ended.outcome is Outcome.MOVED
    assert codes(ended, Severity.WARNING) == ["criu-unproven", "criu-unproven"]


def test_a_target_that_cannot_restore_is_named(world: World) -> None:
    world.start_web()
    world.hosts["b"].checkpoint_reason = "no CRIU"
    assert "b cannot checkpoint or restore: no CRIU" in world.migrate().reason


def test_no_secret_stands_in_facts_or_findings(world: World) -> None:
    world.start_web()
    assert "s3cret" not in asked(world).model_dump_json()
