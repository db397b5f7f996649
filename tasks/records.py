"""Workflow records in Redis, changed by compare-and-set only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from redis.exceptions import WatchError

from tasks.errors import WorkflowNotFoundError, WorkloadBusyError
from tasks.models import Event, State, Workflow

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

KEEP = timedelta(days=30)
EVENTS_MAX = 10_000
RECENT = "podferry:workflows"
WORKLOAD = "podferry:workload:"
LIVE = "podferry:live"
BELL = "podferry:bell"

Change = Callable[[Workflow], Workflow]


class Records:
    """The workflows of one installation.

    Keys: ``podferry:workflow:ID`` (the record), ``podferry:workload:NAME`` (id of the live
    workflow of a container), ``podferry:live`` (ids of those that have not ended),
    ``podferry:bell`` (ids that a control worker is to look at now), ``podferry:workflows`` (ids by
    time), ``podferry:events:ID`` (its log), ``podferry:payload:ID`` (what a step needs and the
    record must not hold).
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def create(self, workflow: Workflow, *, payload: bytes | None = None) -> None:
        """Write a new record, take its containers, ring. Raises WorkloadBusyError."""
        with self._redis.pipeline() as pipe:
            while True:
                _require_free(workflow, _holders(pipe, workflow))
                pipe.multi()
                pipe.mset(dict.fromkeys(_lock_keys(workflow), workflow.id))
                pipe.set(_key(workflow.id), workflow.model_dump_json())
                pipe.sadd(LIVE, workflow.id)
                pipe.rpush(BELL, workflow.id)
                pipe.zadd(RECENT, {workflow.id: workflow.created.timestamp()})
                pipe.zremrangebyscore(RECENT, "-inf", (workflow.created - KEEP).timestamp())
                if payload is not None:
                    pipe.set(f"podferry:payload:{workflow.id}", payload, ex=KEEP)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return

    def get(self, workflow_id: str) -> Workflow:
        """Read one record. Raises WorkflowNotFoundError."""
        return _parse(workflow_id, cast("bytes | None", self._redis.get(_key(workflow_id))))

    def payload(self, workflow_id: str) -> bytes:
        """What came with the request. Raises WorkflowNotFoundError."""
        payload = cast("bytes | None", self._redis.get(f"podferry:payload:{workflow_id}"))
        if payload is None:
            raise WorkflowNotFoundError(workflow_id)
        return payload

    def update(self, workflow_id: str, change: Change, *, ring: bool = False) -> Workflow:
        """Replace a record by ``change`` of it, atomically; return the new one.

        ``change`` may run several times and may raise to leave the record as it is. The change
        that ends a workflow frees its containers; one that reopens it takes them again, or
        raises WorkloadBusyError. With ``ring`` a control worker looks at it at once.
        """
        with self._redis.pipeline() as pipe:
            while True:
                _watch(pipe, _key(workflow_id))
                old = _parse(workflow_id, cast("bytes | None", pipe.get(_key(workflow_id))))
                new = change(old)
                if new == old:
                    return old
                ends = new.state is State.ENDED
                holders = _holders(pipe, new)
                if not ends:
                    _require_free(new, holders)
                held = [key for key, holder in holders.items() if holder == new.id]
                pipe.multi()
                pipe.set(_key(new.id), new.model_dump_json(), ex=KEEP if ends else None)
                if not ends:
                    pipe.mset(dict.fromkeys(_lock_keys(new), new.id))
                if ends != (old.state is State.ENDED):
                    (pipe.srem if ends else pipe.sadd)(LIVE, new.id)
                if ring:
                    pipe.rpush(BELL, new.id)
                if ends and held:
                    pipe.delete(*held, f"podferry:payload:{new.id}")
                    pipe.expire(f"podferry:events:{new.id}", KEEP)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new

    def rung(self, *, wait_seconds: int) -> str | None:
        """The next workflow that a control worker was rung for; None when the wait is over."""
        answer = cast("tuple[bytes, bytes] | None", self._redis.blpop([BELL], wait_seconds))
        return answer[1].decode() if answer else None

    def recent(self, limit: int = 20) -> list[Workflow]:
        """The newest workflows, newest first."""
        ids = cast("list[bytes]", self._redis.zrange(RECENT, 0, limit - 1, desc=True))
        values = cast(
            "list[bytes | None]", self._redis.mget([_key(i.decode()) for i in ids]) if ids else []
        )
        return [Workflow.model_validate_json(value) for value in values if value is not None]

    def live(self) -> list[Workflow]:
        """Every workflow that has not ended, the oldest of a kind first."""
        ids = cast("set[bytes]", self._redis.smembers(LIVE))
        keys = sorted(_key(i.decode()) for i in ids)
        values = cast("list[bytes | None]", self._redis.mget(keys) if keys else [])
        found = [Workflow.model_validate_json(value) for value in values if value is not None]
        return [workflow for workflow in found if workflow.state is not State.ENDED]

    def log(self, workflow_id: str, event: Event) -> None:
        """Append to a workflow's log."""
        self._redis.xadd(
            f"podferry:events:{workflow_id}",
            {"event": event.model_dump_json()},
            maxlen=EVENTS_MAX,
            approximate=True,
        )

    def events(
        self, workflow_id: str, *, after: str = "0", wait_seconds: float = 1.0
    ) -> Iterator[tuple[str, Event]]:
        """Events after a position, each with its own; waits once for the first of them."""
        answer = self._redis.xread(
            {f"podferry:events:{workflow_id}": after}, block=max(1, int(wait_seconds * 1000))
        )
        streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer or [])
        for _, entries in streams:
            for position, fields in entries:
                yield position.decode(), Event.model_validate_json(fields[b"event"])


def _watch(pipe: Pipeline, key: str) -> None:
    pipe.watch(key)  # type: ignore[no-untyped-call] # the client library leaves it untyped


def _holders(pipe: Pipeline, workflow: Workflow) -> dict[str, str]:
    """Who has each of its containers; watched, so that a change of hands is noticed."""
    keys = _lock_keys(workflow)
    for key in keys:
        _watch(pipe, key)
    found = cast("list[bytes | None]", pipe.mget(keys))
    return {key: (value or b"").decode() for key, value in zip(keys, found, strict=True)}


def _require_free(workflow: Workflow, holders: Mapping[str, str]) -> None:
    for container, holder in zip(workflow.containers, holders.values(), strict=True):
        if holder not in {"", workflow.id}:
            raise WorkloadBusyError(container, holder)


def _key(workflow_id: str) -> str:
    return f"podferry:workflow:{workflow_id}"


def _lock_keys(workflow: Workflow) -> list[str]:
    return [f"{WORKLOAD}{container}" for container in workflow.containers]


def _parse(workflow_id: str, value: bytes | None) -> Workflow:
    if value is None:
        raise WorkflowNotFoundError(workflow_id)
    return Workflow.model_validate_json(value)
