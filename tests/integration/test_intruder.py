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
from tasks.models import now
from tasks.queues import FALL_BACK, host_queue, unit_task
from tasks.signing import HEADER, Link, Signer, new_key_pair, write_new
from tests.fleet import WAIT_SECONDS, eventually
from tests.many.installation import Installation, installation, login
from workers.settings import Settings

pytestmark = pytest.mark.integration

OWN_QUEUE = host_queue("b")
ALIEN_QUEUE = host_queue("a")
HOST_B = RedisUser(role=Role.HOST, host="b", password=SecretStr("host.b-password"))


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
        ("SET", "podferry:payload:up-1", "{}"),
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
    admin = RedisUser(role=Role.ADMIN, password=SecretStr("admin-password"))
    with closing(connected(made, admin)) as redis:
        noted = cast("list[dict[str, Any]]", redis.acl_log())
    assert any(line["username"] == "host.b" for line in noted)


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
    now_stored = cast("bytes", intruder.get(key))
    old = json.loads(now_stored)
    old |= {"state": "running", "outcome": None, "ended": None}
    old["steps"][step] |= {"state": "pending", "owner": "", "ended": None, "result": {}}
    intruder.set(key, json.dumps(old))
    name, about = unit_task(workflow.steps[step].unit), arguments(workflow, step)
    intruder.lpush(ALIEN_QUEUE, message(name, about, ALIEN_QUEUE, header=header))
    refused(made, "a", workflow.id, "begun the step before")
    assert [host for host, _ in made.hosts.places("other")] == ["b"]


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
