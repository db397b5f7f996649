"""What ran on a dead host comes up elsewhere: from its newest checkpoint, else cold, else said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakeredis import FakeRedis

from runtime import (
    ContainerState,
    FakeRuntime,
    Mount,
    NetworkAttachment,
    NetworkSpec,
    PodSpec,
    RestoreFailedError,
    Room,
    RunSpec,
)
from runtime.fake_state import FakeImage
from tasks import control, locate
from tasks.context import Context
from tasks.errors import HostAliveError, InvalidRequestError, UnknownHostError
from tasks.evictions import Meaning
from tasks.groups import PROJECT_LABEL, workload_line
from tasks.healing import Healer, Healing, HealState, placed
from tasks.hosts import HostReport, HostState
from tasks.models import (
    GroupKind,
    Inventory,
    Kind,
    Need,
    Options,
    Outcome,
    State,
    Unit,
    WorkerInfo,
    Workflow,
    new_workflow,
)
from tasks.placement import Candidate
from tasks.placing import AFFINITY_LABEL
from tasks.registry import Registry
from tasks.workflows import begin
from tests.unit.tasks.world import IMAGE, World

GIB = 1 << 30
CHECKPOINT = "web/20260101T000000Z-000000"


class Fleet(World):
    """Hosts a, b and c, of which a may die."""

    def __init__(self, context: Context, redis: FakeRedis) -> None:
        self.redis, self.registry = redis, Registry(redis)
        super().__init__(
            context=replace(context, registry=self.registry),
            hosts={host: FakeRuntime() for host in "abc"},
        )
        self.healer = Healer(context.records, self.registry, context.archives)
        for host in self.hosts:
            self.beat(host)

    def beat(self, host: str) -> None:
        self.registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1))
        self.report(host)

    def report(self, host: str) -> None:
        lines = tuple(workload_line(c) for c in self.hosts[host].containers())
        self.registry.report(Inventory(host=host, containers=lines))

    def dies(self, host: str = "a") -> None:
        """The host's worker told what ran there, and then no more."""
        self.report(host)
        self.redis.delete(f"podferry:alive:host.{host}")

    def checkpoint(self, name: str = CHECKPOINT) -> None:
        done = self.run(new_workflow(Kind.CHECKPOINT, "web", source="a", checkpoint_id=name))
        assert done.outcome is Outcome.CHECKPOINTED, done.reason

    def heal(self, host: str = "a") -> list[Healing]:
        plan = self.healer.plan(host)
        begun = self.healer.begin(host, plan, deadline_seconds=60)
        return [i.ended(self.drive(i.workflow_id)) if i.workflow_id else i for i in begun]

    def drive(self, workflow_id: str) -> Workflow:
        return self.finish(self.context.records.get(workflow_id))


@pytest.fixture
def fleet(context: Context, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    return Fleet(context, redis)


def test_it_is_restored_from_its_newest_checkpoint(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint("web/20260101T000000Z-00000a")
    web = fleet.on("a")
    assert web is not None
    web.memory = b"newer"
    fleet.checkpoint("web/20260102T000000Z-00000b")
    fleet.dies()
    (healed,) = fleet.heal()
    assert (healed.outcome, healed.target) == (Outcome.RESTORED, "b")
    copy = fleet.on("b")
    assert copy is not None
    assert (copy.state, copy.memory) == (ContainerState.RUNNING, b"newer")
    assert fleet.hosts["b"].volumes["data"].files["log"] == b"line"


def test_the_old_copy_is_told_to_stop_before_the_new_one_is_asked_for(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    create, evictions = fleet.context.records.create, fleet.context.records.evictions

    def told_first(workflow: Workflow) -> None:
        assert [e.workflow for e in evictions.of("a")] == [workflow.id]
        create(workflow)

    monkeypatch.setattr(fleet.context.records, "create", told_first)
    (begun,) = fleet.healer.begin("a", fleet.healer.plan("a"), deadline_seconds=60)
    (eviction,) = evictions.of("a")
    assert (eviction.meaning, eviction.workflow) == (Meaning.STOP, begun.workflow_id)
    assert eviction.parts.ids == (web.id,)


def test_a_host_that_lives_or_that_nobody_knows_is_not_healed(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    with pytest.raises(HostAliveError, match="heartbeats"):
        fleet.healer.plan("a")
    with pytest.raises(UnknownHostError):
        fleet.healer.plan("z")
    fleet.dies()
    plan = fleet.healer.plan("a")
    fleet.beat("a")
    with pytest.raises(HostAliveError):
        fleet.healer.begin("a", plan, deadline_seconds=60)
    assert fleet.context.records.live() == []


def test_what_ran_is_known_though_its_engine_died_before_its_worker(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.report("a")
    fleet.registry.report(Inventory(host="a", error="it does not answer"))
    fleet.redis.delete("podferry:alive:host.a")
    assert [item.state for item in fleet.healer.plan("a")] == [HealState.PLANNED]


def test_what_has_no_checkpoint_is_told(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.dies()
    (item,) = fleet.heal()
    assert item.state is HealState.SKIPPED
    assert item.reason == "it has no checkpoint in the store"
    assert not item.healed
    assert fleet.context.records.evictions.of("a") == []


def test_what_was_stopped_there_is_left_stopped(fleet: Fleet) -> None:
    web = fleet.start_web()
    fleet.checkpoint()
    fleet.hosts["a"].stop(web.id)
    fleet.dies()
    assert fleet.heal() == []


def test_what_runs_elsewhere_is_safe(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    fleet.start_web("c")
    fleet.report("c")
    (item,) = fleet.heal()
    assert (item.state, item.reason, item.healed) == (HealState.SAFE, "it runs on c", True)


def test_what_may_run_on_another_silent_host_is_not_brought_up(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.start_web("c")
    fleet.dies("c")
    fleet.dies("a")
    (item,) = fleet.heal()
    assert item.state is HealState.SKIPPED
    assert "may run on c" in item.reason


def test_what_a_workflow_holds_is_skipped(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    other = new_workflow(Kind.CHECKPOINT, "web", source="a", checkpoint_id=CHECKPOINT)
    fleet.context.records.create(other)
    fleet.dies()
    (item,) = fleet.heal()
    assert item.state is HealState.SKIPPED
    assert other.id in item.reason
    assert "heal again" in item.reason


def test_a_workflow_that_comes_in_between_wins(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    plan = fleet.healer.plan("a")
    other = new_workflow(Kind.CHECKPOINT, "web", source="a", checkpoint_id=CHECKPOINT)
    fleet.context.records.create(other)
    (item,) = fleet.healer.begin("a", plan, deadline_seconds=60)
    assert item.state is HealState.SKIPPED
    assert other.id in item.reason
    assert fleet.context.records.evictions.of("a") == []


def test_the_memory_of_a_failed_move_is_brought_up_from_its_archive(fleet: Fleet) -> None:
    web = fleet.start_web()
    memory = web.memory
    fleet.hosts["b"].faults["restore"] = [RestoreFailedError("x", "no")] * 9
    fleet.hosts["b"].faults["start"] = [RestoreFailedError("x", "no")] * 9
    fleet.hosts["c"].faults["ping"] = [RestoreFailedError("x", "no")] * 9
    fleet.hosts["a"].faults["restore_in_place"] = [RestoreFailedError("x", "no")] * 9
    failed = fleet.migrate(Options(up_attempts=1))
    assert (failed.outcome, failed.source_stopped) == (Outcome.FAILED, True)
    for host, runtime in fleet.hosts.items():
        runtime.faults.clear()
        fleet.beat(host)
    fleet.dies()
    (healed,) = fleet.heal()
    assert healed.outcome is Outcome.RESTORED, healed.reason
    copy = fleet.on(healed.target or "")
    assert copy is not None
    assert copy.memory == memory
    with pytest.raises(InvalidRequestError, match="brought up elsewhere"):
        control.resume(fleet.context.records, failed.id, ["a", "b", "c"])


def test_another_host_is_tried_then_it_is_started_cold(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    no = RestoreFailedError("x", "no")
    fleet.hosts["b"].faults["restore"] = [no]
    (elsewhere,) = fleet.heal()
    assert (elsewhere.outcome, elsewhere.target) == (Outcome.RESTORED, "c")
    assert fleet.on("b") is None


def test_a_restore_that_fails_everywhere_ends_cold_on_the_last_host(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    no = RestoreFailedError("x", "no")
    fleet.hosts["b"].faults["restore"] = [no]
    fleet.hosts["c"].faults["restore"] = [no]
    (cold,) = fleet.heal()
    assert (cold.outcome, cold.target, cold.healed) == (Outcome.COLD, "c", True)
    assert "restore on c" in cold.reason
    assert fleet.hosts["c"].volumes["data"].files["log"] == b"line"
    assert fleet.on("b") is None


def test_a_heal_that_comes_to_nothing_leaves_nothing_and_can_be_asked_for_again(
    fleet: Fleet,
) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    no = RestoreFailedError("x", "no")
    for host in "bc":
        fleet.hosts[host].faults["restore"] = [no]
        fleet.hosts[host].faults["put_archive"] = [InvalidRequestError("no")]
    (failed,) = fleet.heal()
    assert failed.outcome is Outcome.FAILED
    workflow = fleet.context.records.recent(1)[0]
    assert workflow.steps[-1].unit is Unit.DISCARD
    assert workflow.permit is None
    assert fleet.on("b") is None
    assert fleet.on("c") is None
    assert not fleet.hosts["c"].volumes
    assert [i.state for i in fleet.healer.plan("a", again=False)] == [HealState.SKIPPED]
    (again,) = fleet.heal()
    assert again.outcome is Outcome.RESTORED


def test_what_was_healed_is_not_healed_again(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    (healed,) = fleet.heal()
    fleet.hosts["b"].remove("web", force=True)
    fleet.report("b")
    (item,) = fleet.heal()
    assert item.state is HealState.SKIPPED
    assert healed.workflow_id in item.reason


def test_without_another_host_nothing_is_begun(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    for host in "abc":
        fleet.dies(host)
    (item,) = fleet.heal()
    assert item.reason == "no host fits: a: offline; b: offline; c: offline"


def test_workloads_are_spread_by_the_containers_that_run() -> None:
    names = [("p", "q", "r"), *((name,) for name in "uvwxy")]
    items = [Healing(workload=each[0], containers=each, need=Need(names=each)) for each in names]
    candidates = [
        Candidate(host=host, state=HostState.ACTIVE, running=running)
        for host, running in (("b", 2), ("c", 1), ("d", 4))
    ]
    targets = [item.target for item in placed(items, candidates)]
    assert targets == ["c", "b", "d", "b", "c", "d"]


def test_a_heal_takes_the_room_that_was_taken_before(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    lines = (workload_line(c, GIB) for c in fleet.hosts["a"].containers())
    fleet.registry.report(Inventory(host="a", containers=tuple(lines)))
    fleet.redis.delete("podferry:alive:host.a")
    fleet.registry.report_host(HostReport(host="b", room=Room(memory_bytes=GIB - 1)))
    (begun,) = fleet.healer.begin("a", fleet.healer.plan("a"), deadline_seconds=60)
    assert begun.target == "c"
    (workflow,) = fleet.context.records.live()
    assert workflow.need is not None
    assert (workflow.need.names, workflow.need.memory_bytes) == (("web",), GIB)


def test_a_label_that_cannot_be_read_is_told(fleet: Fleet) -> None:
    fleet.start_web().spec.labels[AFFINITY_LABEL] = "nonsense"
    fleet.checkpoint()
    fleet.dies()
    (item,) = fleet.heal()
    assert item.state is HealState.SKIPPED
    assert "'nonsense' is not KEY=VALUE" in item.reason


def test_a_cordoned_host_is_given_nothing_of_a_dead_one(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.registry.cordon("b")
    fleet.dies()
    (healed,) = fleet.heal()
    assert (healed.outcome, healed.target) == (Outcome.RESTORED, "c")


def test_a_heal_that_is_cancelled_ends_so(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    (begun,) = fleet.healer.begin("a", fleet.healer.plan("a"), deadline_seconds=60)
    assert control.call_off(fleet.context.records, begun.workflow_id)
    assert begin(fleet.context, begun.workflow_id) is None
    workflow = fleet.context.records.get(begun.workflow_id)
    assert (workflow.state, workflow.outcome) == (State.ENDED, Outcome.CANCELLED)


def project(fleet: Fleet, *names: str, pod: str = "") -> None:
    """Containers of the compose project (or pod) ``shop`` on host a, which share a volume."""
    runtime = fleet.hosts["a"]
    runtime.images[IMAGE.id] = IMAGE
    if pod:
        runtime.create_pod(PodSpec(name=pod))
        runtime.pods[pod].said = {"infra": ""}
    for name in names:
        data = Mount(type="volume", source="shop", target="/data")
        labels = {} if pod else {PROJECT_LABEL: "shop"}
        spec = RunSpec(name=name, image=IMAGE.names[0], mounts=(data,), labels=labels)
        made = runtime.run(spec)
        runtime.containers_by_id[made].pod = pod
        runtime.start(made)


def group_checkpoint(fleet: Fleet, kind: GroupKind, *members: str) -> None:
    taken = "shop/20260101T000000Z-000000"
    workflow = new_workflow(
        Kind.CHECKPOINT, "shop", group=kind, members=members, source="a", checkpoint_id=taken
    )
    done = fleet.run(workflow)
    assert done.outcome is Outcome.CHECKPOINTED, done.reason


def running(fleet: Fleet, host: str) -> set[str]:
    found = fleet.hosts[host].containers_by_id.values()
    return {c.spec.name for c in found if c.state is ContainerState.RUNNING}


def test_a_project_comes_up_as_one(fleet: Fleet) -> None:
    project(fleet, "api", "db")
    group_checkpoint(fleet, GroupKind.PROJECT, "api", "db")
    fleet.dies()
    (healed,) = fleet.heal()
    assert (healed.workload, healed.group) == ("shop", GroupKind.PROJECT)
    assert healed.outcome is Outcome.RESTORED, healed.reason
    assert running(fleet, healed.target or "") == {"api", "db"}
    (eviction,) = fleet.context.records.evictions.of("a")
    assert eviction.parts.containers == ("api", "db")


def test_a_project_that_cannot_be_restored_comes_up_cold(fleet: Fleet) -> None:
    project(fleet, "api", "db")
    group_checkpoint(fleet, GroupKind.PROJECT, "api", "db")
    fleet.dies()
    for host in "bc":
        fleet.hosts[host].faults["restore"] = [RestoreFailedError("x", "no")]
    (healed,) = fleet.heal()
    assert healed.outcome is Outcome.COLD, healed.reason
    assert running(fleet, "c") == {"api", "db"}
    assert running(fleet, "b") == set()


def test_a_pod_is_never_brought_up_cold(fleet: Fleet) -> None:
    project(fleet, "api", "db", pod="shop")
    group_checkpoint(fleet, GroupKind.POD, "api", "db")
    fleet.dies()
    for host in "bc":
        fleet.hosts[host].faults["restore"] = [RestoreFailedError("x", "no")]
    (failed,) = fleet.heal()
    assert failed.outcome is Outcome.FAILED
    assert not any(fleet.hosts[host].pods for host in "bc")
    (healed,) = fleet.heal()
    assert healed.outcome is Outcome.RESTORED, healed.reason
    assert set(fleet.hosts[healed.target or ""].pods) == {"shop"}


def test_who_is_not_in_a_project_s_checkpoint_goes_alone(fleet: Fleet) -> None:
    project(fleet, "api", "db")
    group_checkpoint(fleet, GroupKind.PROJECT, "api", "db")
    project(fleet, "job")
    fleet.dies()
    found = {item.workload: item for item in fleet.healer.plan("a")}
    assert found["shop"].state is HealState.PLANNED
    assert found["job"].reason == "it has no checkpoint in the store"


def test_a_pod_without_a_checkpoint_is_told_as_one(fleet: Fleet) -> None:
    project(fleet, "api", "db", pod="shop")
    fleet.dies()
    (item,) = fleet.heal()
    assert (item.workload, item.group) == ("shop", GroupKind.POD)
    assert item.containers == ("api", "db")
    assert not item.healed


def test_only_one_that_asked_for_no_address_gets_another(fleet: Fleet) -> None:
    fleet.hosts["a"].create_network(NetworkSpec(name="net"))
    fleet.start_web(networks=(NetworkAttachment(name="net", ipv4="10.89.0.9"),))
    fleet.checkpoint()
    fleet.dies()
    (item,) = fleet.healer.plan("a")
    assert not item.new_address


def test_an_image_that_nobody_stored_comes_from_its_registry(fleet: Fleet) -> None:
    fleet.start_web()
    fleet.checkpoint()
    fleet.dies()
    fleet.context.archives.objects.delete(next(_images(fleet)))
    (failed,) = fleet.heal()
    assert failed.outcome is Outcome.FAILED
    assert "image" in failed.reason
    for host in "bc":
        fleet.hosts[host].registry[IMAGE.names[0]] = FakeImage(id=IMAGE.id, names=IMAGE.names)
    (healed,) = fleet.heal()
    assert healed.outcome is Outcome.RESTORED, healed.reason


def _images(fleet: Fleet) -> Iterator[str]:
    found = fleet.context.archives.objects.list("images/")
    return (info.key for info in found if info.key.endswith("manifest.json"))
