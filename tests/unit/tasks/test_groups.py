"""Several containers as one workload: the pure rules, and a project between two fake hosts."""

from __future__ import annotations

import pytest
from fakeredis import FakeRedis

from runtime import (
    CheckpointFailedError,
    ContainerState,
    Mount,
    NetworkAttachment,
    NetworkSpec,
    RestartPolicy,
    RestoreFailedError,
    RunSpec,
)
from runtime.fake_state import FakeContainer
from tasks.context import Context
from tasks.errors import WorkloadBusyError
from tasks.groups import bring_back_order, group_members, shared_volumes
from tasks.models import (
    Fallback,
    GroupKind,
    Kind,
    Options,
    Outcome,
    Workflow,
    WorkloadLine,
    new_workflow,
)
from tests.unit.tasks.world import IMAGE, World

GROUP = "shop/20260101T000000Z-000000"


def labelled(service: str, needs: str = "") -> dict[str, str]:
    return {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": service,
        "com.docker.compose.depends_on": needs,
    }


def test_dependencies_come_first_and_copies_of_a_service_together() -> None:
    labels = {
        "web-2": labelled("web", "api:service_started:false,db:service_healthy:true"),
        "web-1": labelled("web", "api:service_started:false,db:service_healthy:true"),
        "api": labelled("api", "db:service_started:false,gone:service_started:false"),
        "db": labelled("db"),
    }
    assert bring_back_order(labels, {}) == ("db", "api", "web-1", "web-2")


def test_who_carries_a_volume_comes_before_everybody() -> None:
    labels = {"api": labelled("api", "db:service_started:false"), "db": labelled("db")}
    assert bring_back_order(labels, {"db": "api"}) == ("api", "db")


def test_a_circle_of_dependencies_is_no_obstacle() -> None:
    labels = {"a": labelled("a", "b:service_started:false"), "b": labelled("b", "a:x:false")}
    assert sorted(bring_back_order(labels, {})) == ["a", "b"]


@pytest.mark.parametrize(
    ("volumes", "carriers", "torn"),
    [
        ({"a": ("v",), "b": ("w",), "c": ()}, {}, ()),
        ({"a": ("v",), "b": ("v",)}, {"b": "a"}, ()),
        ({"a": ("v",), "b": ("v", "w"), "c": ("w",)}, {"a": "b", "c": "b"}, ()),
        ({"a": ("v", "w"), "b": ("w", "x")}, {}, ("b",)),
    ],
)
def test_shared_volumes_are_carried_by_one(
    volumes: dict[str, tuple[str, ...]], carriers: dict[str, str], torn: tuple[str, ...]
) -> None:
    found = shared_volumes(volumes)
    assert (dict(found.carriers), found.torn) == (carriers, torn)


def test_members_are_what_lives() -> None:
    def line(name: str, state: str, project: str) -> WorkloadLine:
        return WorkloadLine(name=name, id=name, image="i", state=state, project=project, pod="p")

    lines = [line("b", "running", "shop"), line("a", "paused", "shop"), line("c", "exited", "shop")]
    lines.append(line("d", "running", "other"))
    assert group_members(lines, GroupKind.PROJECT, "shop") == ("a", "b")
    assert group_members(lines, GroupKind.POD, "p") == ("a", "b", "d")


class Shop:
    """A database and an api that share a volume, and a web server."""

    names = ("api", "db", "web")

    def __init__(self, context: Context) -> None:
        self.world = World(context)
        source = self.world.hosts["a"]
        source.images[IMAGE.id] = IMAGE
        source.create_network(
            NetworkSpec(name="shop", labels={"com.docker.compose.project": "shop"})
        )
        for name, needs in (("web", "api:x:false"), ("api", "db:x:false"), ("db", "")):
            source.start(source.run(self._spec(name, needs)))
        source.volumes["data"].files["log"] = b"line"

    def _spec(self, name: str, needs: str) -> RunSpec:
        mounts = (Mount(type="volume", source="data", target="/data"),) if name != "web" else ()
        return RunSpec(
            name=name,
            image=IMAGE.names[0],
            labels=labelled(name, needs),
            mounts=mounts,
            networks=(NetworkAttachment(name="shop", aliases=(name,)),),
            restart=RestartPolicy(name="always"),
        )

    def workflow(self, kind: Kind, **fields: object) -> Workflow:
        workflow = new_workflow(
            kind,
            "shop",
            group=GroupKind.PROJECT,
            members=self.names,
            source="a" if kind is not Kind.RESTORE else None,
            target="b" if kind is not Kind.CHECKPOINT else None,
            checkpoint_id=GROUP,
        )
        return workflow.model_copy(update=fields)

    def on(self, host: str) -> dict[str, FakeContainer]:
        return {c.spec.name: c for c in self.world.hosts[host].containers_by_id.values()}

    def memory(self, host: str) -> dict[str, bytes]:
        return {name: c.memory for name, c in self.on(host).items()}


@pytest.fixture
def shop(context: Context) -> Shop:
    return Shop(context)


def test_all_of_a_project_move(shop: Shop) -> None:
    memory = shop.memory("a")
    ended = shop.world.run(shop.workflow(Kind.MIGRATE))
    assert ended.outcome is Outcome.MOVED, ended.reason
    assert shop.memory("b") == memory
    assert {c.spec.restart.name for c in shop.on("b").values()} == {"always"}
    assert shop.world.hosts["b"].volumes["data"].files == {"log": b"line"}
    source = shop.world.hosts["a"]
    assert (shop.on("a"), source.volumes, source.networks) == ({}, {}, {})
    made = shop.world.context.archives.group(GROUP)
    assert [m.partition("/")[0] for m in made.members] == ["api", "db", "web"]


@pytest.mark.parametrize("host", ["a", "b"])
def test_one_that_fails_keeps_all_where_they_are(shop: Shop, host: str) -> None:
    memory = shop.memory("a")
    if host == "a":
        shop.world.hosts["a"].faults["checkpoint"] = [CheckpointFailedError("api", "no CRIU")]
    else:
        shop.world.hosts["b"].faults["update_restart_policy"] = [RestoreFailedError("api", "no")]
    request = shop.workflow(Kind.MIGRATE, options=Options(fallback=(Fallback.RESUME,)))
    ended = shop.world.run(request)
    assert ended.outcome is Outcome.RESUMED, ended.reason
    assert shop.memory("a") == memory
    assert {c.state for c in shop.on("a").values()} == {ContainerState.RUNNING}
    assert {c.spec.restart.name for c in shop.on("a").values()} == {"always"}
    assert shop.on("b") == {}
    assert shop.world.hosts["b"].volumes == {}


def test_a_project_that_cannot_be_restored_starts_cold(shop: Shop) -> None:
    memory = shop.memory("a")
    shop.world.hosts["b"].faults["restore"] = [RestoreFailedError("api", "no CRIU")]
    ended = shop.world.run(shop.workflow(Kind.MIGRATE))
    assert ended.outcome is Outcome.COLD
    assert set(shop.memory("b")) == set(memory)
    assert all(shop.memory("b")[name] != memory[name] for name in memory)
    assert shop.world.hosts["b"].volumes["data"].files == {"log": b"line"}
    assert shop.on("a") == {}


def test_a_checkpoint_of_a_project_is_restored_as_one_or_not_at_all(shop: Shop) -> None:
    memory = shop.memory("a")
    made = shop.world.run(shop.workflow(Kind.CHECKPOINT))
    assert made.outcome is Outcome.CHECKPOINTED
    assert shop.memory("a") == memory
    restored = shop.world.run(shop.workflow(Kind.RESTORE))
    assert restored.outcome is Outcome.RESTORED, restored.reason
    assert shop.memory("b") == memory
    alone = new_workflow(Kind.RESTORE, "db", target="b", checkpoint_id=GROUP.replace("shop", "db"))
    refused = shop.world.run(alone)
    assert refused.outcome is Outcome.FAILED
    assert f"podferry restore {GROUP}" in refused.reason


def test_a_project_that_changed_since_it_was_asked_for_is_left_alone(shop: Shop) -> None:
    memory = shop.memory("a")
    ended = shop.world.run(shop.workflow(Kind.MIGRATE, members=("api", "db")))
    assert ended.outcome is Outcome.UNTOUCHED
    assert "api, db, web now" in ended.reason
    assert shop.memory("a") == memory


def test_a_volume_that_would_be_torn_stops_the_move(shop: Shop) -> None:
    source = shop.world.hosts["a"]
    for name, volume in (("api", "one"), ("db", "two")):
        container = shop.on("a")[name]
        mount = Mount(type="volume", source=volume, target="/own")
        source.volumes[volume] = source.volumes["data"]
        container.spec = container.spec.model_copy(
            update={"mounts": (*container.spec.mounts, mount)}
        )
    ended = shop.world.run(shop.workflow(Kind.MIGRATE))
    assert ended.outcome is Outcome.UNTOUCHED
    assert "shares a volume" in ended.reason


def test_a_member_is_busy_while_its_project_moves(shop: Shop, redis: FakeRedis) -> None:
    records = shop.world.context.records
    records.create(shop.workflow(Kind.MIGRATE))
    with pytest.raises(WorkloadBusyError, match="'db'"):
        records.create(new_workflow(Kind.MIGRATE, "db", source="a", target="b"))
    records.create(new_workflow(Kind.MIGRATE, "shop", source="a", target="b"))  # a container
    assert redis.exists("podferry:workload:shop")
