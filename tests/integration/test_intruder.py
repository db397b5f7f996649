"""What somebody gets who has the Redis user of host b, or only the network: nothing.

The hosts are fakes; Redis, its users, the workers and the messages are real.
"""

from __future__ import annotations

import base64
import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import NoPermissionError

from podferry import Kind, Outcome, Workflow
from podferry.client import Client
from tasks.acl import RedisUser, Role
from tasks.errors import BrokerUnavailableError
from tasks.models import StepState, new_workflow, now
from tasks.plans import first_plan, planned
from tasks.queues import FALL_BACK, host_queue, unit_task
from tasks.records import Records
from tasks.signing import HEADER, Link, Signer, new_key_pair, write_new
from tests.fleet import WAIT_SECONDS, eventually
from tests.many.installation import Installation, installation, login
from workers.settings import Settings

pytestmark = pytest.mark.integration

OWN_QUEUE = host_queue("b")
ALIEN_QUEUE = host_queue("a")
HOST_B = RedisUser(role=Role.HOST, host="b", password=SecretStr("host.b-password"))
ADMIN = RedisUser(role=Role.ADMIN, password=SecretStr("admin-password"))
CLIENT = RedisUser(role=Role.CLIENT, password=SecretStr("client-password"))
FINISH = 6  # the step of a move that removes what is on its source


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    """Hosts a, b and c in production, and a control worker."""
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True) as name,
        installation(Path(name), "abc", secured=True) as found,
    ):
        found.await_workers()
        yield found


@pytest.fixture
def intruder(made: Installation) -> Iterator[Redis]:
    """Redis, as host b is let in."""
    with closing(connected(made, HOST_B)) as redis:
        yield redis


@pytest.fixture(scope="module")
def moved(made: Installation) -> Workflow:
    """A container that went from a to c: all of it is over."""
    made.hosts.run("a", "web")
    located(made, "web")
    return finished(made, made.client.migrate("web", to="c"))


def connected(made: Installation, user: RedisUser) -> Redis:
    return Redis.from_url(login(made.redis_url, user))


def located(made: Installation, name: str) -> None:
    def told() -> bool:
        return any(line.name == name for i in made.client.inventories() for line in i.containers)

    eventually(told, f"{name} is not told of")


def finished(made: Installation, workflow: Workflow) -> Workflow:
    ended = made.client.wait(workflow.id, timeout_seconds=WAIT_SECONDS)
    assert ended.outcome is Outcome.MOVED, made.logs()
    return ended


def message(
    task: str, arguments: Mapping[str, object], queue: str, *, header: object = None
) -> bytes:
    """A message as Celery writes it, with a header of ours."""
    own = str(uuid.uuid4())
    body = json.dumps([[], dict(arguments), {}]).encode()
    headers: dict[str, object] = {"lang": "py", "task": task, "id": own, "root_id": own}
    if header is not None:
        headers[HEADER] = header
    properties = {
        "correlation_id": own,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "body_encoding": "base64",
        "delivery_tag": own,
    }
    sent = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(sent).encode()


def log_of(made: Installation, worker: str) -> str:
    (found,) = (w.log for w in made.workers if w.name == worker)
    return found.read_text()


def refused(made: Installation, worker: str, workflow_id: str, reason: str) -> None:
    """Return when the worker has logged that it refused something of this workflow."""

    def logged() -> bool:
        lines = (json.loads(text) for text in log_of(made, worker).splitlines() if text[0] == "{")
        return any(
            line.get("workflow") == workflow_id and reason in str(line.get("reason"))
            for line in lines
        )

    eventually(logged, f"{worker} refuses nothing because {reason!r}")


def arguments(workflow: Workflow, step: int) -> dict[str, object]:
    return {"workflow_id": workflow.id, "step": step, "epoch": workflow.steps[step].epoch}


@pytest.mark.parametrize(
    "words",
    [
        ("LRANGE", ALIEN_QUEUE, "0", "-1"),
        ("BRPOP", ALIEN_QUEUE, "1"),
        ("RPOP", ALIEN_QUEUE),
        ("DEL", ALIEN_QUEUE),
        ("LTRIM", ALIEN_QUEUE, "1", "0"),
        ("RENAME", ALIEN_QUEUE, OWN_QUEUE),
        ("COPY", ALIEN_QUEUE, OWN_QUEUE),
        ("HGETALL", f"{ALIEN_QUEUE}:unacked"),
        ("LRANGE", "control", "0", "-1"),
        ("HGETALL", "control:unacked"),
        ("SET", "podferry:workflow:up-1", "{}"),
        ("DEL", "podferry:workflow:up-1"),
        ("EXPIRE", "podferry:workflow:up-1", "1"),
        ("SET", "podferry:stated:a:up-1", "{}"),
        ("RENAME", "podferry:stated:b:up-1", "podferry:stated:a:up-1"),
        ("DEL", "podferry:stated:a:up-1"),
        ("SET", "podferry:workload:web", "up-1"),
        ("DEL", "podferry:workload:web"),
        ("SREM", "podferry:live", "up-1"),
        ("ZREM", "podferry:workflows", "up-1"),
        ("INCR", "podferry:placed"),
        ("HINCRBY", "podferry:tallies", "podferry_workflows_total", "1"),
        ("SET", "podferry:payload:up-1", "{}"),
        ("DEL", "podferry:payload:up-1"),
        ("SET", "podferry:plan:up-1", "{}"),
        ("SET", "podferry:alive:host.a", "1"),
        ("HSET", "podferry:cordons", "a", "{}"),
        ("HSET", "podferry:evictions:a", "web", "{}"),
        ("SET", "podferry:schedule:all", "{}"),
        ("SET", "podferry:drain:all", "{}"),
        ("LPOP", "podferry:bell"),
        ("EVAL", "return redis.call('lrange', KEYS[1], 0, -1)", "1", ALIEN_QUEUE),
        ("SUBSCRIBE", "/0.celeryev/task.started"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("MONITOR",),
        ("CLIENT", "LIST"),
    ],
    ids=" ".join,
)
def test_redis_refuses_and_notes_what_is_another_one_s(
    made: Installation, intruder: Redis, words: tuple[str, ...]
) -> None:
    with pytest.raises(NoPermissionError):
        intruder.execute_command(*words)  # type: ignore[no-untyped-call]
    with closing(connected(made, ADMIN)) as redis:
        noted = cast("list[dict[str, Any]]", redis.acl_log())
    objects = {line["object"] for line in noted if line["username"] == "host.b"}
    assert any(found in words or words[0].lower() in found for found in objects), objects


def test_a_task_that_nobody_signed_does_not_run_on_another_host(
    made: Installation, intruder: Redis, moved: Workflow
) -> None:
    step = len(moved.steps) - 1
    before = log_of(made, "a")
    for name in (unit_task(moved.steps[step].unit), "podferry.discard", "podferry.up"):
        intruder.lpush(ALIEN_QUEUE, message(name, arguments(moved, step), ALIEN_QUEUE))
    refused(made, "a", moved.id, "it is not signed")
    assert "it is not signed" not in before
    assert made.client.status(moved.id) == moved


def test_a_link_signed_with_another_key_is_refused(
    made: Installation, intruder: Redis, moved: Workflow, tmp_path: Path
) -> None:
    private, _ = new_key_pair()
    write_new(tmp_path / "own.pem", private)
    name, about = unit_task(moved.steps[0].unit), arguments(moved, 0)
    link = Link(task=name, arguments=about, queue=ALIEN_QUEUE)
    header = Signer(tmp_path / "own.pem").headers([link], moved.deadline)[HEADER]
    intruder.lpush(ALIEN_QUEUE, message(name, about, ALIEN_QUEUE, header=header))
    refused(made, "a", moved.id, "no control worker has signed this")
    assert made.client.status(moved.id) == moved


@pytest.fixture(scope="module")
def caught(made: Installation) -> tuple[Workflow, dict[str, Any]]:
    """A move to b, and the header of the messages that came to b with it."""
    signer = Signer(made.directory / "signing.pem")
    made.hosts.run("a", "other")
    located(made, "other")
    workflow = finished(made, made.client.migrate("other", to="b"))
    links = [
        Link(task=unit_task(s.unit), arguments=arguments(workflow, i), queue=host_queue(s.host))
        for i, s in enumerate(workflow.steps)
    ]
    header = signer.headers(links, workflow.deadline)[HEADER]
    return workflow, cast("dict[str, Any]", header)


Change = Callable[[str, dict[str, object]], tuple[str, dict[str, object]]]


@pytest.mark.parametrize(
    "change",
    [
        lambda _, about: ("podferry.discard", about),
        lambda name, about: (name, {**about, "workflow_id": "migrate-x"}),
        lambda name, about: (name, {**about, "epoch": 2}),
        lambda name, about: (name, {**about, "step": 0}),
        lambda name, about: (name, {**about, "more": True}),
    ],
    ids=["task", "workflow", "epoch", "step", "argument"],
)
def test_a_signed_link_that_was_changed_is_refused(
    made: Installation, intruder: Redis, caught: tuple[Workflow, dict[str, Any]], change: Change
) -> None:
    workflow, header = caught
    step = len(workflow.steps) - 1
    name, about = change(unit_task(workflow.steps[step].unit), arguments(workflow, step))
    known = log_of(made, "a").count("no control worker has signed this")
    intruder.lpush(ALIEN_QUEUE, message(name, about, ALIEN_QUEUE, header=header))
    eventually(
        lambda: log_of(made, "a").count("no control worker has signed this") > known,
        f"a does not refuse {name} {about}",
    )
    assert made.client.status(workflow.id) == workflow


def test_a_signed_link_does_not_run_on_another_host_than_it_is_for(
    made: Installation, intruder: Redis, caught: tuple[Workflow, dict[str, Any]]
) -> None:
    workflow, header = caught
    step = next(i for i, s in enumerate(workflow.steps) if s.host == "b")
    name, about = unit_task(workflow.steps[step].unit), arguments(workflow, step)
    for queue in (ALIEN_QUEUE, host_queue("c")):
        # the queue that it says it is for is part of the message: who sends it may choose it
        intruder.lpush(queue, message(name, about, OWN_QUEUE, header=header))
    for worker in ("a", "c"):
        refused(made, worker, workflow.id, "no control worker has signed this for this queue")


def test_a_signed_link_is_refused_when_its_time_is_over(
    made: Installation, intruder: Redis, moved: Workflow
) -> None:
    name, about = unit_task(moved.steps[0].unit), arguments(moved, 0)
    link = Link(task=name, arguments=about, queue=ALIEN_QUEUE)
    header = Signer(made.directory / "signing.pem").headers([link], moved.created)[HEADER]
    intruder.lpush(ALIEN_QUEUE, message(name, about, ALIEN_QUEUE, header=header))
    refused(made, "a", moved.id, "it came too late")
    later = {**cast("dict[str, Any]", header), "expires": int(now().timestamp()) + 3600}
    intruder.lpush(ALIEN_QUEUE, message(name, about, ALIEN_QUEUE, header=later))
    refused(made, "a", moved.id, "no control worker has signed this")


def test_a_step_that_was_begun_is_not_begun_again_though_its_record_says_so(
    made: Installation, intruder: Redis, caught: tuple[Workflow, dict[str, Any]]
) -> None:
    """Replay: the record is put back to what it was before the last step, then the link sent."""
    workflow, header = caught
    step = len(workflow.steps) - 1
    key = f"podferry:workflow:{workflow.id}"
    old = json.loads(cast("bytes", intruder.get(key)))
    old |= {"state": "running", "outcome": None, "ended": None}
    old["steps"][step] |= {"state": "pending", "owner": "", "ended": None, "result": {}}
    with closing(connected(made, ADMIN)) as redis:  # Redis itself was put back, say
        redis.set(key, json.dumps(old))
    name, about = unit_task(workflow.steps[step].unit), arguments(workflow, step)
    intruder.lpush(ALIEN_QUEUE, message(name, about, ALIEN_QUEUE, header=header))
    refused(made, "a", workflow.id, "begun the step before")
    assert [host for host, _ in made.hosts.places("other")] == ["b"]


@pytest.fixture
def records(made: Installation) -> Iterator[Records]:
    """The workflows, as a client changes them."""
    with closing(connected(made, CLIENT)) as redis:
        yield Records(redis)


def waiting(made: Installation, records: Records, name: str, target: str) -> Workflow:
    """A move from a that has a plan, which nobody begins before it is let go."""
    made.hosts.run("a", name)
    located(made, name)
    checkpoint_id = f"{name}/20260101T000000Z-000000"
    asked = new_workflow(Kind.MIGRATE, name, source="a", target=target, checkpoint_id=checkpoint_id)
    later = now() + timedelta(hours=1)
    planned_one = planned(asked, first_plan(asked)).model_copy(update={"not_before": later})
    records.create(planned_one)
    return planned_one


def let_go(made: Installation, records: Records, workflow: Workflow) -> None:
    """Let it begin; it goes where it was to go, whatever was written."""
    records.update(workflow.id, lambda w: w.model_copy(update={"not_before": now()}), ring=True)
    ended = finished(made, workflow)
    assert ended.target == workflow.target
    assert [host for host, _ in made.hosts.places(workflow.workload)] == [workflow.target]
    assert [s.host for s in ended.steps] == [s.host for s in workflow.steps]


def stated(workflow: Workflow, **fields: object) -> str:
    """What b would state: that the copy runs, and its source may be removed."""
    done = workflow.steps[FINISH].model_copy(update={"state": StepState.DONE})
    steps = {FINISH: done.model_dump(mode="json")}
    return json.dumps({"version": 1, "fence": workflow.fence, "steps": steps, **fields})


def test_what_is_stated_of_a_workflow_of_others_is_not_heard(
    made: Installation, intruder: Redis, records: Records
) -> None:
    workflow = waiting(made, records, "of-others", "c")
    key = f"podferry:stated:b:{workflow.id}"
    intruder.set(key, stated(workflow, target="b", permit="b", touched="b", source_stopped=True))
    assert made.client.status(workflow.id) == workflow
    let_go(made, records, workflow)
    refused(made, "control-0", workflow.id, "b: it has no part in it")
    eventually(lambda: not intruder.exists(key), "what b has stated is kept")


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("step", {}),
        ("target", {"steps": {}, "target": "c"}),
        ("archives", {"steps": {}, "archives": ["checkpoints/another/1"]}),
        ("source_stopped", {"steps": {}, "source_stopped": True}),
        ("permit", {"steps": {}, "permit": "c"}),
        ("outcome", {"steps": {}, "state": "ended", "outcome": "moved"}),
    ],
)
def test_a_host_states_nothing_but_its_own(
    made: Installation, intruder: Redis, records: Records, name: str, forged: dict[str, object]
) -> None:
    workflow = waiting(made, records, f"forged-{name}".replace("_", "-"), "b")
    intruder.set(f"podferry:stated:b:{workflow.id}", stated(workflow, **forged))
    assert made.client.status(workflow.id) == workflow
    refused(made, "control-0", workflow.id, f"b: it may not state {name}")
    let_go(made, records, workflow)


def test_what_is_stated_past_its_fence_is_not_heard(
    made: Installation, intruder: Redis, records: Records
) -> None:
    workflow = waiting(made, records, "past", "b")
    restore = workflow.steps[FINISH - 1].model_copy(update={"state": StepState.DONE})
    late = stated(workflow, steps={FINISH - 1: restore.model_dump(mode="json")}, permit="b")
    moved_on = records.update(
        workflow.id, lambda w: w.model_copy(update={"not_before": now() + timedelta(hours=2)})
    )
    key = f"podferry:stated:b:{workflow.id}"
    intruder.set(key, late)
    assert made.client.status(workflow.id) == moved_on
    refused(made, "control-0", workflow.id, "b: it is past its fence")
    let_go(made, records, workflow)
    eventually(lambda: not intruder.exists(key), "what b has stated is not taken over")
    ended = made.client.status(workflow.id)
    intruder.set(key, late)
    assert made.client.status(workflow.id) == ended


def test_control_takes_no_next_rung_that_nobody_signed(
    made: Installation, intruder: Redis, moved: Workflow
) -> None:
    about = {"workflow_id": moved.id, "epoch": moved.epoch}
    intruder.lpush("control", message(FALL_BACK, about, "control"))
    refused(made, "control-0", moved.id, "it is not signed")


@pytest.mark.parametrize(
    "url",
    ["redis://{}", "redis://:guessed@{}", "redis://default:guessed@{}", "redis://host.b:x@{}"],
)
def test_the_network_alone_lets_nobody_in(made: Installation, url: str) -> None:
    place = made.redis_url.partition("://")[2]
    settings = Settings.model_validate({"environment": "dev", "redis_url": url.format(place)})
    with pytest.raises(BrokerUnavailableError, match="password"):
        Client(settings)


def test_all_of_it_is_still_well(made: Installation) -> None:
    """What came before has broken nothing: the next move goes as the first did."""
    made.hosts.run("c", "last")
    located(made, "last")
    ended = finished(made, made.client.migrate("last", to="a"))
    assert ended.kind is Kind.MIGRATE
    assert not any(made.hosts.ledger.wrong)
