"""A pod between two fake hosts."""

from __future__ import annotations

import pytest

from runtime import (
    CheckpointFailedError,
    ContainerState,
    Mount,
    NetworkAttachment,
    NetworkSpec,
    PodSpec,
    RestoreFailedError,
    RunSpec,
)
from runtime.fake_state import FakeContainer
from tasks.context import Context
from tasks.facts import findings_of
from tasks.models import GroupKind, Kind, Options, Outcome, Workflow, new_workflow
from tests.unit.tasks.world import IMAGE, World

GROUP = "shop/20260101T000000Z-000000"


class Shop:
    """A pod with a database and an api that share a volume."""

    names = ("api", "db")

    def __init__(self, context: Context) -> None:
        self.world = World(context)
        source = self.world.hosts["a"]
        source.images[IMAGE.id] = IMAGE
        source.create_network(NetworkSpec(name="net", options={"mtu": "1400"}))
        network = NetworkAttachment(name="net", ipv4="10.89.0.9")
        self.spec = PodSpec(name="shop", labels={"tier": "web"}, networks=(network,))
        source.create_pod(self.spec)
        for name in self.names:
            data = Mount(type="volume", source="data", target="/data")
            made = source.run(RunSpec(name=name, image=IMAGE.names[0], mounts=(data,)))
            source.containers_by_id[made].pod = "shop"
            source.start(made)
        infra = source.run(RunSpec(name="infra", image=IMAGE.names[0], networks=(network,)))
        source.pods["shop"].said = {"infra": infra}

    def workflow(self, kind: Kind, **fields: object) -> Workflow:
        workflow = new_workflow(
            kind,
            "shop",
            group=GroupKind.POD,
            members=self.names,
            source="a" if kind is not Kind.RESTORE else None,
            target="b" if kind is not Kind.CHECKPOINT else None,
            checkpoint_id=GROUP,
        )
        return workflow.model_copy(update=fields)

    def on(self, host: str) -> dict[str, FakeContainer]:
        found = self.world.hosts[host].containers_by_id.values()
        return {c.spec.name: c for c in found if c.spec.name in self.names}

    def memory(self, host: str) -> dict[str, bytes]:
        return {name: c.memory for name, c in self.on(host).items()}

    def add(self, **said: object) -> None:
        self.world.hosts["a"].pods["shop"].said |= said


@pytest.fixture
def shop(context: Context) -> Shop:
    return Shop(context)


def test_a_pod_moves_with_its_containers_and_network(shop: Shop) -> None:
    memory = shop.memory("a")
    ended = shop.world.run(shop.workflow(Kind.MIGRATE))
    assert ended.outcome is Outcome.MOVED, ended.reason
    target = shop.world.hosts["b"]
    assert shop.memory("b") == memory
    assert {c.pod for c in shop.on("b").values()} == {"shop"}
    assert target.pods["shop"].spec == shop.spec
    assert not target.pods["shop"].held
    assert target.networks["net"].options == {"mtu": "1400"}
    assert (shop.on("a"), shop.world.hosts["a"].pods) == ({}, {})


def test_a_pod_that_is_to_move_cold_is_left_alone(shop: Shop) -> None:
    memory = shop.memory("a")
    ended = shop.world.run(shop.workflow(Kind.MIGRATE, options=Options(cold=True)))
    assert ended.outcome is Outcome.UNTOUCHED
    assert "nothing is started cold into a pod ('shop')" in ended.reason
    assert shop.memory("a") == memory


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_pod_is_never_started_cold(shop: Shop, host: str) -> None:
    memory = shop.memory("a")
    faults = shop.world.hosts[host].faults
    if host == "a":
        faults["checkpoint"] = [CheckpointFailedError("api", "no CRIU")]
    else:
        faults["update_restart_policy"] = [RestoreFailedError("api", "no")]
    ended = shop.world.run(shop.workflow(Kind.MIGRATE))
    assert ended.outcome is Outcome.RESUMED, ended.reason
    assert shop.memory("a") == memory
    assert {c.state for c in shop.on("a").values()} == {ContainerState.RUNNING}
    assert not shop.world.hosts["a"].pods["shop"].held
    target = shop.world.hosts["b"]
    assert (shop.on("b"), target.pods, target.volumes) == ({}, {}, {})


@pytest.mark.parametrize("leave_stopped", [False, True])
def test_a_pod_s_checkpoint_comes_back_as_a_pod(shop: Shop, leave_stopped: bool) -> None:
    memory = shop.memory("a")
    options = Options(leave_stopped=leave_stopped)
    made = shop.world.run(shop.workflow(Kind.CHECKPOINT, options=options))
    assert made.outcome is Outcome.CHECKPOINTED, made.reason
    assert not shop.world.hosts["a"].pods["shop"].held
    anew = Options(ignore_static_ip=True)
    restored = shop.world.run(shop.workflow(Kind.RESTORE, options=anew))
    assert restored.outcome is Outcome.RESTORED, restored.reason
    assert shop.memory("b") == memory
    assert shop.world.hosts["b"].pods["shop"].spec.addresses == ()


def test_a_pod_that_is_there_makes_room_only_when_asked(shop: Shop) -> None:
    shop.world.run(shop.workflow(Kind.CHECKPOINT))
    target = shop.world.hosts["b"]
    target.create_pod(PodSpec(name="shop"))
    refused = shop.world.run(shop.workflow(Kind.RESTORE))
    assert "a pod 'shop' is already on this host" in refused.reason
    replaced = shop.world.run(shop.workflow(Kind.RESTORE, options=Options(replace=True)))
    assert replaced.outcome is Outcome.RESTORED, replaced.reason
    assert target.pods["shop"].spec == shop.spec


def test_a_pod_with_another_s_containers_is_not_replaced(shop: Shop) -> None:
    shop.world.run(shop.workflow(Kind.CHECKPOINT))
    target = shop.world.hosts["b"]
    target.images[IMAGE.id] = IMAGE
    target.create_pod(PodSpec(name="shop"))
    other = target.run(RunSpec(name="other", image=IMAGE.names[0]))
    target.containers_by_id[other].pod = "shop"
    refused = shop.world.run(shop.workflow(Kind.RESTORE, options=Options(replace=True)))
    assert refused.outcome is Outcome.FAILED
    assert "still has containers: other" in refused.reason


def test_what_a_pod_could_not_get_back_stops_the_move(shop: Shop) -> None:
    memory = shop.memory("a")
    shop.add(unsupported=("memory_limit",))
    shop.world.hosts["b"].create_pod(PodSpec(name="shop"))
    ended = shop.world.run(shop.workflow(Kind.MIGRATE))
    assert ended.outcome is Outcome.UNTOUCHED
    assert "memory_limit" in ended.reason
    assert shop.memory("a") == memory
    asked = shop.world.run(shop.workflow(Kind.PREFLIGHT))
    codes = {finding.code for finding in findings_of(asked)}
    assert {"pod-option", "name-in-use", "pod-shm"} <= codes
    told = [f.message for f in findings_of(asked) if f.code == "pod-option"]
    assert told[0].startswith("pod shop: ")


def test_a_project_in_a_pod_takes_the_pod_along(shop: Shop) -> None:
    labels = {"com.docker.compose.project": "shop"}
    for container in shop.on("a").values():
        container.spec = container.spec.model_copy(update={"labels": labels})
    ended = shop.world.run(shop.workflow(Kind.MIGRATE, group=GroupKind.PROJECT))
    assert ended.outcome is Outcome.MOVED, ended.reason
    assert shop.world.hosts["b"].pods["shop"].spec == shop.spec
    assert shop.world.hosts["a"].pods == {}


def test_a_container_of_a_pod_does_not_move_alone(shop: Shop) -> None:
    ended = shop.world.run(new_workflow(Kind.MIGRATE, "db", source="a", target="b"))
    assert ended.outcome is Outcome.UNTOUCHED
    assert "pod 'shop'" in ended.reason
