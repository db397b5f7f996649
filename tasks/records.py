"""Workflow records in Redis, changed by compare-and-set only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, cast

from redis.exceptions import WatchError

from tasks import tallies
from tasks.broker import watch
from tasks.errors import WorkflowNotFoundError, WorkloadBusyError
from tasks.evictions import Evictions
from tasks.lists import RECENT, cut, enter, host_list, lists_of, workload_list
from tasks.models import Event, Outcome, State, Workflow
from tasks.stored import load, load_known

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

KEEP_RECORDS = timedelta(days=30)
# A request may hold secrets: one that failed is kept just long enough to be made again.
KEEP_PAYLOAD = timedelta(hours=1)
# A dead host that comes back is told by it what to stop; what was stopped, how to start again.
KEEP_HEALED = timedelta(days=365)
EVENTS_MAX = 10_000
PAGE = 50
WORKLOAD = "podferry:workload:"
LIVE = "podferry:live"
BELL = "podferry:bell"
PLACED = "podferry:placed"
UNDONE = frozenset({Outcome.FAILED, Outcome.CANCELLED})

Change = Callable[[Workflow], Workflow]


class Records:
    """The workflows of one installation.

    Keys: ``podferry:workflow:ID`` (the record), ``podferry:workload:NAME`` (id of the live
    workflow of a container), ``podferry:live`` (ids of those that have not ended),
    ``podferry:bell`` (ids that a control worker is to look at now), ``podferry:workflows`` (ids by
    time), ``podferry:workflows:workload:NAME`` and ``podferry:workflows:host:NAME`` (those that
    concern a container, a group or a host), ``podferry:placed`` (how often a workflow was given a
    target: who gives one asks whether another was meanwhile), ``podferry:events:ID`` (its log),
    ``podferry:payload:ID`` (what a step needs and the record must not hold),
    ``podferry:tallies`` (what is counted: see tasks.tallies).

    A record and its log expire when the workflow has been over for as long as ``keep``; whoever
    ends one has to know that time. The lists by time are cut whenever a workflow of theirs ends.
    """

    def __init__(self, redis: Redis, *, keep: timedelta = KEEP_RECORDS) -> None:
        self._redis = redis
        self._keep = keep

    @property
    def evictions(self) -> Evictions:
        """What must not stay, or not run, on which host."""
        return Evictions(self._redis)

    def create(self, workflow: Workflow, *, payload: bytes | None = None) -> None:
        """Write a new record, take its containers, ring. Raises WorkloadBusyError.

        Where there is one of this id already, nothing happens.
        """
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, _key(workflow.id))
                if pipe.exists(_key(workflow.id)):
                    return
                _require_free(workflow, _holders(pipe, workflow))
                pipe.multi()
                pipe.mset(dict.fromkeys(_lock_keys(workflow), workflow.id))
                pipe.set(_key(workflow.id), workflow.model_dump_json())
                pipe.sadd(LIVE, workflow.id)
                pipe.rpush(BELL, workflow.id)
                enter(pipe, workflow, lists_of(workflow))
                if workflow.target:
                    pipe.incr(PLACED)
                if payload is not None:
                    pipe.set(_payload_key(workflow.id), payload)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return

    def known(self, workflow_id: str) -> bool:
        """Whether there is a record of this id."""
        return bool(self._redis.exists(_key(workflow_id)))

    def get(self, workflow_id: str) -> Workflow:
        """Read one record. Raises WorkflowNotFoundError, UnreadableRecordError."""
        return _parse(workflow_id, cast("bytes | None", self._redis.get(_key(workflow_id))))

    def payload(self, workflow_id: str) -> bytes:
        """What came with the request. Raises WorkflowNotFoundError."""
        payload = cast("bytes | None", self._redis.get(_payload_key(workflow_id)))
        if payload is None:
            raise WorkflowNotFoundError(workflow_id)
        return payload

    def update(
        self, workflow_id: str, change: Change, *, ring: bool = False, placing: bool = False
    ) -> Workflow:
        """Replace a record by ``change`` of it, atomically; return the new one.

        ``change`` may run several times and may raise to leave the record as it is. The change
        that ends a workflow frees its containers; one that reopens it takes them again, or
        raises WorkloadBusyError. With ``ring`` a control worker looks at it at once. With
        ``placing``, ``change`` runs again if another workflow was given a target meanwhile: no two
        of them see the same room.
        """
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, _key(workflow_id))
                placed = pipe.get(PLACED) if placing else None
                old = _parse(workflow_id, cast("bytes | None", pipe.get(_key(workflow_id))))
                new = change(old)
                if new == old:
                    return old
                if placing and new.target != old.target:
                    watch(pipe, PLACED)
                    if pipe.get(PLACED) != placed:
                        continue
                ended, ends = old.state is State.ENDED, new.state is State.ENDED
                # one that goes on has its containers: nobody else can take them
                holders = _holders(pipe, new) if ended or ends else {}
                if ended and not ends:
                    _require_free(new, holders)
                held = [key for key, holder in holders.items() if holder == new.id]
                pipe.multi()
                needed = new.options.heal or new.outcome is Outcome.STOPPED
                keep = max(self._keep, KEEP_HEALED) if needed else self._keep
                pipe.set(_key(new.id), new.model_dump_json(), ex=keep if ends else None)
                if ended and not ends:
                    pipe.mset(dict.fromkeys(_lock_keys(new), new.id))
                if ends != ended:
                    (pipe.srem if ends else pipe.sadd)(LIVE, new.id)
                if ring:
                    pipe.rpush(BELL, new.id)
                enter(pipe, new, lists_of(new) - lists_of(old))
                if new.target != old.target:
                    pipe.incr(PLACED)
                tallies.add(pipe, tallies.of_workflow(old, new))
                if ends:
                    self._let_go(pipe, new, held)
                    if new.drain:
                        pipe.rpush(BELL, new.drain)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new

    def rung(self, *, wait_seconds: int) -> str | None:
        """The next workflow that a control worker was rung for; None when the wait is over."""
        answer = cast("tuple[bytes, bytes] | None", self._redis.blpop([BELL], wait_seconds))
        return answer[1].decode() if answer else None

    def holders(self, containers: Collection[str]) -> dict[str, str]:
        """The unfinished workflows that have these containers, by container."""
        keys = [f"{WORKLOAD}{container}" for container in containers]
        values = cast("list[bytes | None]", self._redis.mget(keys) if keys else [])
        held = zip(containers, values, strict=True)
        return {name: value.decode() for name, value in held if value is not None}

    def recent(
        self,
        limit: int = 20,
        *,
        workload: str | None = None,
        host: str | None = None,
        state: State | None = None,
    ) -> list[Workflow]:
        """The newest workflows, newest first: all of them, or those that concern these only.

        A group's workflows concern its containers too; a host's are those whose request or plan
        names it.
        """
        chosen = [workload_list(workload)] if workload else []
        chosen += [host_list(host)] if host else []
        if state in {State.QUEUED, State.RUNNING}:
            live = self.live(known_only=True)
            found = iter(sorted(live, key=lambda w: w.created, reverse=True))
        else:
            found = self._newest(chosen[0] if chosen else RECENT, max(limit, PAGE))
        wanted = (w for w in found if state in {None, w.state} and lists_of(w).issuperset(chosen))
        return list(islice(wanted, limit))

    def live(self, *, known_only: bool = False) -> list[Workflow]:
        """Every workflow that has not ended, the oldest of a kind first.

        Raises UnreadableRecordError, for nobody knows what such a one needs; with ``known_only`` it
        is left out.
        """
        ids = cast("set[bytes]", self._redis.smembers(LIVE))
        found = self.some(sorted(i.decode() for i in ids), known_only=known_only)
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
                for event in load_known(Event, [(workflow_id, fields[b"event"])]):
                    yield position.decode(), event

    def _newest(self, key: str, page: int) -> Iterator[Workflow]:
        """The workflows of a list, newest first, read as far as they are wanted."""
        seen: set[str] = set()  # a list that grows meanwhile shows some of them again
        start = 0
        while ids := cast(
            "list[bytes]", self._redis.zrange(key, start, start + page - 1, desc=True)
        ):
            new = [i.decode() for i in ids if i.decode() not in seen]
            seen.update(new)
            yield from self.some(new, known_only=True)
            start += page

    def some(self, ids: Sequence[str], *, known_only: bool = False) -> list[Workflow]:
        """Those of these records that there are, in this order.

        Raises UnreadableRecordError; with ``known_only`` what cannot be read is left out.
        """
        values = cast("list[bytes | None]", self._redis.mget([_key(i) for i in ids]) if ids else [])
        found = [(i, value) for i, value in zip(ids, values, strict=True) if value is not None]
        if known_only:
            return load_known(Workflow, found)
        return [load(Workflow, workflow_id, value) for workflow_id, value in found]

    def _let_go(self, pipe: Pipeline, ended: Workflow, held: Sequence[str]) -> None:
        """Free the containers of a workflow that ends; let expire what is kept of it."""
        gone, payload = list(held), _payload_key(ended.id)
        if ended.outcome in UNDONE:
            pipe.expire(payload, KEEP_PAYLOAD)
        else:
            gone.append(payload)
        if gone:
            pipe.delete(*gone)
        pipe.expire(f"podferry:events:{ended.id}", self._keep)
        cut(pipe, ended, self._keep)


def _holders(pipe: Pipeline, workflow: Workflow) -> dict[str, str]:
    """Who has each of its containers; watched, so that a change of hands is noticed."""
    keys = _lock_keys(workflow)
    for key in keys:
        watch(pipe, key)
    found = cast("list[bytes | None]", pipe.mget(keys))
    return {key: (value or b"").decode() for key, value in zip(keys, found, strict=True)}


def _require_free(workflow: Workflow, holders: Mapping[str, str]) -> None:
    for container, holder in zip(workflow.containers, holders.values(), strict=True):
        if holder not in {"", workflow.id}:
            raise WorkloadBusyError(container, holder)


def _key(workflow_id: str) -> str:
    return f"podferry:workflow:{workflow_id}"


def _payload_key(workflow_id: str) -> str:
    return f"podferry:payload:{workflow_id}"


def _lock_keys(workflow: Workflow) -> list[str]:
    return [f"{WORKLOAD}{container}" for container in workflow.containers]


def _parse(workflow_id: str, value: bytes | None) -> Workflow:
    if value is None:
        raise WorkflowNotFoundError(workflow_id)
    return load(Workflow, workflow_id, value)
