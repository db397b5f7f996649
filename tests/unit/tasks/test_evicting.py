"""A host that was out of reach: what must not stay there goes, what must not run is stopped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from fakeredis import FakeRedis

from runtime import (
    ContainerState,
    EngineError,
    EngineUnavailableError,
    FakeRuntime,
    RestartPolicy,
    RestoreSpec,
    VolumeSpec,
)
from runtime.fake_state import FakeContainer
from tasks.context import Context
from tasks.evicting import NEVER_BEGUN, SETTLED, Evictor
from tasks.evictions import Eviction, Evictions, Meaning
from tasks.models import (
    Fallback,
    Kind,
    Options,
    Outcome,
    Parts,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import end, first_plan, planned
from tasks.records import Records
from tasks.registry import Registry
from tests.unit.tasks.world import World

LEFT = Parts(containers=("web",), volumes=("data",))


@pytest.fixture
def world(context: Context) -> World:
    return World(context)


@pytest.fixture
def evictions(records: Records) -> Evictions:
    return records.evictions


@pytest.fixture
def evictor(world: World, records: Records) -> Evictor:
    return Evictor(records, "b", world.hosts["b"])


def leftover(world: World, *, runs: bool = False) -> FakeContainer:
    """What a restore on b that was cut off left there."""
    made = world.start_web("b")
    if not runs:
        made.state = ContainerState.CREATED
    return made


def remove(parts: Parts = LEFT, *, age: timedelta = timedelta()) -> Eviction:
    return Eviction(
        meaning=Meaning.REMOVE,
        workload="web",
        workflow="migrate-1",
        parts=parts,
        recorded=now() - age,
    )


# What must not stay


def test_what_was_left_behind_goes_and_then_its_record(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    made = leftover(world)
    parts = LEFT.model_copy(update={"ids": (made.id,)})
    evictions.put("b", remove(parts, age=SETTLED * 2))
    evictor.look()
    assert world.on("b") is None
    assert not world.hosts["b"].volumes
    evictor.look()
    assert evictions.of("b") == []


def test_the_record_stays_while_a_late_worker_may_add_to_it(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    evictions.put("b", remove())
    evictor.look()
    assert len(evictions.of("b")) == 1
    leftover(world)  # by a worker that slept
    evictor.look()
    assert world.on("b") is None


def test_what_runs_is_no_leftover(world: World, evictions: Evictions, evictor: Evictor) -> None:
    leftover(world, runs=True)
    evictions.put("b", remove())
    evictor.look()
    assert world.on("b") is not None
    assert "data" in world.hosts["b"].volumes
    assert evictions.of("b") == []


def test_a_container_of_another_id_is_no_leftover(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    leftover(world)
    evictions.put("b", remove(LEFT.model_copy(update={"ids": ("f" * 64,)})))
    evictor.look()
    assert world.on("b") is not None


def test_a_volume_that_another_container_uses_stays(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    leftover(world, runs=True).spec = world.start_web("a").spec.model_copy(update={"name": "db"})
    evictions.put("b", remove())
    evictor.look()
    assert "data" in world.hosts["b"].volumes


@pytest.mark.parametrize(("target", "stays"), [("b", True), ("c", False)])
def test_nothing_goes_that_a_workflow_works_with_there(
    world: World, evictions: Evictions, evictor: Evictor, target: str, stays: bool
) -> None:
    leftover(world)
    evictions.put("b", remove())
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target=target)
    world.context.records.create(planned(workflow, first_plan(workflow)))
    evictor.look()
    assert (world.on("b") is not None) is stays


def test_who_finds_nothing_there_and_moves_in_is_not_evicted(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    web = world.start_web()
    evictions.put("b", remove(LEFT.model_copy(update={"ids": (web.id,)})))
    assert world.migrate().outcome is Outcome.MOVED
    assert evictions.of("b") == []
    copy = world.on("b")
    assert copy is not None
    copy.state = ContainerState.EXITED  # by the hand of somebody
    evictor.look()
    assert world.on("b") is not None


def test_only_what_moved_in_is_no_leftover_any_more(evictions: Evictions) -> None:
    both = Parts(containers=("web", "db"), ids=("1", "2"), volumes=("data", "other"), pod="p")
    evictions.put("b", remove(both))
    evictions.void("b", Parts(containers=("web",), volumes=("data",)))
    (left,) = evictions.of("b")
    assert left.parts == Parts(containers=("db",), ids=("2",), volumes=("other",), pod="p")
    evictions.void("b", both)
    assert evictions.of("b") == []


def test_a_record_that_changed_meanwhile_is_not_replaced(evictions: Evictions) -> None:
    seen = remove()
    evictions.put("b", seen)
    evictions.put("b", remove(Parts(containers=("other",))))
    assert not evictions.change("b", seen, None)
    assert len(evictions.of("b")) == 1


def test_a_late_worker_removes_nothing_that_moved_in_meanwhile(
    world: World, evictions: Evictions, evictor: Evictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    evictions.put("b", remove())
    leftover(world)
    exists = world.hosts["b"].volume_exists

    def slept(name: str) -> bool:
        evictions.void("b", LEFT)  # another worker has cleaned, and a workflow has moved in
        return exists(name)

    monkeypatch.setattr(world.hosts["b"], "volume_exists", slept)
    evictor.look()
    assert world.on("b") is not None


def test_an_engine_that_is_away_keeps_the_record(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    evictions.put("b", remove(age=SETTLED * 2))
    leftover(world)
    world.hosts["b"].faults["containers"] = [EngineUnavailableError("/run/podman.sock", "refused")]
    with pytest.raises(EngineUnavailableError):
        evictor.look()
    world.hosts["b"].faults["remove"] = [EngineError("removal", "no")]
    evictor.look()
    assert len(evictions.of("b")) == 1
    evictor.look()
    assert world.on("b") is None


def test_a_target_that_went_offline_is_told_what_to_remove(
    context: Context, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "online", lambda _: ["a"])
    world = World(context=replace(context, registry=Registry(redis)))
    web = world.start_web()
    world.hosts["b"].faults["restore"] = [EngineError("restore", "gone")]
    ended = world.migrate(Options(fallback=(Fallback.RESUME,)))
    assert ended.outcome is Outcome.RESUMED
    (eviction,) = context.records.evictions.of("b")
    assert (eviction.meaning, eviction.workflow) == (Meaning.REMOVE, ended.id)
    assert eviction.parts == Parts(containers=("web",), ids=(web.id,), volumes=("data",))


def test_a_volume_alone_is_left_behind_too(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    world.hosts["b"].create_volume(VolumeSpec(name="data"))
    evictions.put("b", remove())
    evictor.look()
    assert not world.hosts["b"].volumes


# What must not run


def healed(world: World, runs_on: str = "b", **fields: object) -> tuple[FakeContainer, Workflow]:
    """An old copy on a host, and the workflow that brought it up elsewhere, ended or not."""
    old = world.start_web(runs_on)
    workflow = new_workflow(Kind.RESTORE, "web", source="b", target="c", options=Options(heal=True))
    workflow = planned(workflow, first_plan(workflow)).model_copy(update=fields)
    world.context.records.create(workflow)
    stop = Eviction(
        meaning=Meaning.STOP,
        workload="web",
        workflow=workflow.id,
        parts=Parts(containers=("web",), ids=(old.id,)),
    )
    world.context.records.evictions.put("b", stop)
    return old, workflow


def ends(world: World, workflow: Workflow, outcome: Outcome) -> None:
    world.context.records.update(workflow.id, lambda w: end(w, outcome))


@pytest.mark.parametrize("outcome", [Outcome.RESTORED, Outcome.COLD])
def test_an_old_copy_is_stopped_and_kept(
    world: World, evictions: Evictions, evictor: Evictor, outcome: Outcome
) -> None:
    old, workflow = healed(world)
    ends(world, workflow, outcome)
    evictor.look()
    assert old.state is ContainerState.EXITED
    assert old.spec.restart == RestartPolicy()
    assert world.hosts["b"].volumes["data"].files["log"] == b"line"
    assert evictions.kept("b") == ("web",)
    world.hosts["b"].start(old.id)
    evictor.look()
    assert old.state is ContainerState.EXITED


def test_one_that_nobody_started_loses_its_restart_policy_too(
    world: World, evictor: Evictor
) -> None:
    old, workflow = healed(world)
    world.hosts["b"].stop(old.id)
    ends(world, workflow, Outcome.RESTORED)
    evictor.look()
    assert old.spec.restart == RestartPolicy()


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_what_was_not_brought_up_elsewhere_runs_on(
    world: World, evictions: Evictions, evictor: Evictor, outcome: Outcome
) -> None:
    old, workflow = healed(world)
    ends(world, workflow, outcome)
    evictor.look()
    assert old.state is ContainerState.RUNNING
    assert old.spec.restart == RestartPolicy(name="always")
    assert evictions.of("b") == []


def test_a_heal_that_failed_but_may_have_left_a_copy_that_runs_counts(
    world: World, evictor: Evictor
) -> None:
    old, workflow = healed(world, permit="c")
    ends(world, workflow, Outcome.FAILED)
    evictor.look()
    assert old.state is ContainerState.EXITED


def test_an_old_copy_that_runs_calls_off_what_has_not_come_to_running(
    world: World, evictor: Evictor
) -> None:
    old, workflow = healed(world)
    evictor.look()
    assert old.state is ContainerState.RUNNING
    assert world.context.records.get(workflow.id).cancel_requested


def test_an_old_copy_is_stopped_if_the_new_one_may_run(world: World, evictor: Evictor) -> None:
    old, workflow = healed(world, permit="c")
    evictor.look()
    assert old.state is ContainerState.EXITED
    assert not world.context.records.get(workflow.id).cancel_requested


def test_an_old_copy_that_does_not_run_is_in_nobodys_way(world: World, evictor: Evictor) -> None:
    old, workflow = healed(world)
    world.hosts["b"].stop(old.id)
    evictor.look()
    assert not world.context.records.get(workflow.id).cancel_requested
    assert old.spec.restart == RestartPolicy(name="always")


def test_what_was_called_off_gets_no_permit(
    world: World, evictor: Evictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host comes back in the middle of the restore: of the two copies, the old one runs."""
    old = world.start_web("b")
    name = "web/20260101T000000Z-0f0f0f"
    run = new_workflow(Kind.CHECKPOINT, "web", source="b", checkpoint_id=name)
    assert world.run(run).outcome is Outcome.CHECKPOINTED
    world.hosts["c"] = FakeRuntime()
    restore = new_workflow(
        Kind.RESTORE,
        "web",
        source="b",
        target="c",
        options=Options(heal=True),
        checkpoint_id=name,
    )
    stop = Eviction(
        meaning=Meaning.STOP,
        workload="web",
        workflow=restore.id,
        parts=Parts(containers=("web",), ids=(old.id,)),
    )
    world.context.records.evictions.put("b", stop)
    target = world.hosts["c"]
    begin, clean = target.restore, target.remove

    def comes_back(chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        evictor.look()
        return begin(chunks, spec, archive=archive)

    def looks_again(container: str, *, force: bool = False, volumes: bool = False) -> None:
        evictor.look()
        clean(container, force=force, volumes=volumes)

    monkeypatch.setattr(target, "restore", comes_back)
    monkeypatch.setattr(target, "remove", looks_again)
    ended = world.run(restore)
    assert ended.outcome is Outcome.CANCELLED
    assert ended.permit is None
    assert world.on("c") is None
    assert old.state is ContainerState.RUNNING


def test_a_heal_that_never_began_is_forgotten_in_the_end(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    old = world.start_web("b")
    never = Eviction(
        meaning=Meaning.STOP,
        workload="web",
        workflow="restore-0",
        parts=Parts(containers=("web",), ids=(old.id,)),
    )
    evictions.put("b", never)
    evictor.look()
    assert evictions.of("b") == [never]
    evictions.put("b", never.model_copy(update={"recorded": now() - NEVER_BEGUN * 2}))
    evictor.look()
    assert evictions.of("b") == []
    assert old.state is ContainerState.RUNNING


def test_a_copy_that_was_removed_needs_no_record(
    world: World, evictions: Evictions, evictor: Evictor
) -> None:
    old, workflow = healed(world)
    ends(world, workflow, Outcome.RESTORED)
    evictor.look()
    world.hosts["b"].remove(old.id, force=True)
    evictor.look()
    assert evictions.of("b") == []


def test_another_container_of_that_name_is_let_alone(world: World, evictor: Evictor) -> None:
    old, workflow = healed(world)
    ends(world, workflow, Outcome.RESTORED)
    world.hosts["b"].remove(old.id, force=True)
    new = world.start_web("b")
    evictor.look()
    assert new.state is ContainerState.RUNNING
