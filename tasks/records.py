"""Workflow records in Redis, changed by compare-and-set only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, cast

from redis.exceptions import WatchError

from tasks import tallies
from tasks.broker import watch
from tasks.errors import ForeignChangeError, WorkflowNotFoundError, WorkloadBusyError
from tasks.evictions import Evictions
from tasks.lists import RECENT, cut, enter, host_list, lists_of, workload_list
from tasks.models import Event, Outcome, State, Workflow
from tasks.statements import Statement, composed, differing, speakers
from tasks.stating import Reader, Stored, record_key, statement_key
from tasks.stored import load_known
from tasks.told import REPORTS

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
_logger = logging.getLogger(__name__)  # structlog would slow every command down


class Records:
    """The workflows of one installation.

    Keys: ``podferry:workflow:ID`` (the record), ``podferry:stated:HOST:ID`` (what a host states
    about it, until that is in the record: see tasks.statements), ``podferry:workload:NAME`` (id of
    the live workflow of a container), ``podferry:live`` (ids of those that have not ended),
    ``podferry:bell`` (ids that a control worker is to look at now), ``podferry:workflows`` (ids by
    time), ``podferry:workflows:workload:NAME`` and ``podferry:workflows:host:NAME`` (those that
    concern a container, a group or a host), ``podferry:placed`` (how often a workflow was given a
    target: who gives one asks whether another was meanwhile), ``podferry:events:ID`` (its log),
    ``podferry:payload:ID`` (what a step needs and the record must not hold),
    ``podferry:tallies`` (what is counted: see tasks.tallies).

    A record and its log expire when the workflow has been over for as long as ``keep``; whoever
    ends one has to know that time. The lists by time are cut whenever a workflow of theirs ends.

    With ``host``, every change becomes that host's statement, and nothing else is written. A
    workflow that it ends is over for every reader; control workers and clients let go of it.
    """

    def __init__(
        self, redis: Redis, *, keep: timedelta = KEEP_RECORDS, host: str | None = None
    ) -> None:
        self._redis = redis
        self._keep = keep
        self._host = host
        self._reader = Reader()

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
                watch(pipe, record_key(workflow.id))
                if pipe.exists(record_key(workflow.id)):
                    return
                if not self._free(workflow, _holders(pipe, workflow)):
                    continue
                pipe.multi()
                pipe.mset(dict.fromkeys(_lock_keys(workflow), workflow.id))
                pipe.set(record_key(workflow.id), workflow.model_dump_json())
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
        return bool(self._redis.exists(record_key(workflow_id)))

    def get(self, workflow_id: str) -> Workflow:
        """Read one record. Raises WorkflowNotFoundError, UnreadableRecordError."""
        return self._stored(workflow_id).workflow

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
                stored = self._stored(workflow_id, watching=pipe)
                placed = pipe.get(PLACED) if placing else None
                old = stored.workflow
                new = change(old)
                if new == old:
                    return old
                if placing and new.target != old.target:
                    watch(pipe, PLACED)
                    if pipe.get(PLACED) != placed:
                        continue
                if self._host is not None:
                    self._state(pipe, self._host, stored, new)
                elif stored.unsettled:
                    self.settle(workflow_id)
                    continue
                else:
                    new = new.model_copy(update={"fence": stored.record.fence + 1})
                    if not self._replace(pipe, stored, new):
                        continue
                if ring:
                    pipe.rpush(BELL, new.id)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new

    def settle(self, workflow_id: str) -> None:
        """Put into the record that a host has ended a workflow, and let go of what it had.

        Readers see no difference. Raises WorkflowNotFoundError, UnreadableRecordError.
        """
        with self._redis.pipeline() as pipe:
            while True:
                stored = self._stored(workflow_id, watching=pipe)
                if not stored.unsettled:
                    return
                self._replace(pipe, stored, stored.workflow)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return

    def rung(self, *, wait_seconds: int) -> str | None:
        """The next workflow that a control worker was rung for; None when the wait is over."""
        answer = cast("tuple[bytes, bytes] | None", self._redis.blpop([BELL], wait_seconds))
        return answer[1].decode() if answer else None

    def holders(self, containers: Collection[str]) -> dict[str, str]:
        """The unfinished workflows that have these containers, by container."""
        keys = [f"{WORKLOAD}{container}" for container in containers]
        values = cast("list[bytes | None]", self._redis.mget(keys) if keys else [])
        pairs = zip(containers, values, strict=True)
        held = {name: value.decode() for name, value in pairs if value is not None}
        found = self.some(sorted(set(held.values())), known_only=True)
        over = {workflow.id for workflow in found if workflow.state is State.ENDED}
        return {name: holder for name, holder in held.items() if holder not in over}

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
        found = self.unsettled(known_only=known_only)
        return [workflow for workflow in found if workflow.state is not State.ENDED]

    def unsettled(self, *, known_only: bool = False) -> list[Workflow]:
        """As ``live``, with those that a host has ended and nobody has settled."""
        ids = cast("set[bytes]", self._redis.smembers(LIVE))
        return self.some(sorted(i.decode() for i in ids), known_only=known_only)

    def live_of(self, host: str) -> list[Workflow]:
        """Those of a host that have not ended, as far as they can be read."""
        ids = cast("list[bytes]", self._redis.zinter([host_list(host), LIVE]))
        found = self.some([i.decode() for i in ids], known_only=True)
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
        read = self._reader.read(self._redis, ids)
        found = []
        for one in (read[i] for i in ids if i in read):
            if isinstance(one, Stored):
                found.append(one.workflow)
            elif known_only:
                _logger.warning("left alone: %s", one)
            else:
                raise one
        return found

    def _stored(self, workflow_id: str, *, watching: Pipeline | None = None) -> Stored:
        redis = self._redis if watching is None else watching
        found = self._reader.read(redis, [workflow_id], watching=watching).get(workflow_id)
        if found is None:
            raise WorkflowNotFoundError(workflow_id)
        if isinstance(found, Stored):
            return found
        raise found

    def _state(self, pipe: Pipeline, host: str, stored: Stored, new: Workflow) -> None:
        """Queue what makes this host's statement say what is new. Raises ForeignChangeError."""
        record, old = stored.record, stored.workflow
        mine = stored.said.get(host)
        if mine is None or mine.fence != record.fence:
            mine = Statement(version=1, fence=record.fence)
        mine = mine.amended(host, old, new)
        made, _ = composed(record, {**stored.said, host: mine})
        if made != new:
            raise ForeignChangeError(host, record.id, differing(made, new))
        pipe.multi()
        pipe.set(statement_key(host, record.id), mine.to_json())
        if new.state is State.ENDED:
            pipe.rpush(BELL, record.id)

    def _replace(self, pipe: Pipeline, stored: Stored, new: Workflow) -> bool:
        """Queue what writes a record anew, with all that was stated and all that follows.

        False if that has to wait for another look. Raises WorkloadBusyError.
        """
        record, old = stored.record, stored.workflow
        ended, ends = record.state is State.ENDED, new.state is State.ENDED
        # one that goes on has its containers: nobody else can take them
        holders = _holders(pipe, new) if ended or ends else {}
        if ended and not ends and not self._free(new, holders):
            return False
        strangers = self._strangers(pipe, record) if ends and not ended else []
        pipe.multi()
        needed = new.options.heal or new.outcome is Outcome.STOPPED
        keep = max(self._keep, KEEP_HEALED) if needed else self._keep
        pipe.set(record_key(new.id), new.model_dump_json(), ex=keep if ends else None)
        taken = [statement_key(host, new.id) for host in (*stored.said, *strangers)]
        if taken:
            pipe.delete(*taken)
        if ended and not ends:
            pipe.mset(dict.fromkeys(_lock_keys(new), new.id))
        if ends != ended:
            (pipe.srem if ends else pipe.sadd)(LIVE, new.id)
        enter(pipe, new, lists_of(new) - lists_of(old))
        if new.target != record.target:
            pipe.incr(PLACED)
        tallies.add(pipe, tallies.of_workflow(record, old))
        tallies.add(pipe, tallies.of_workflow(old, new))
        if ends:
            self._let_go(pipe, new, [key for key, holder in holders.items() if holder == new.id])
            if new.drain:
                pipe.rpush(BELL, new.drain)
        return True

    def _free(self, workflow: Workflow, holders: Mapping[str, str]) -> bool:
        """Whether nobody has its containers; False if who had one was let go of just now.

        Raises WorkloadBusyError.
        """
        for container, holder in zip(workflow.containers, holders.values(), strict=True):
            if holder in {"", workflow.id}:
                continue
            found = self._reader.read(self._redis, [holder]).get(holder)
            if not isinstance(found, Stored) or not found.unsettled:
                raise WorkloadBusyError(container, holder)
            self.settle(holder)
            return False
        return True

    def _strangers(self, pipe: Pipeline, record: Workflow) -> list[str]:
        """The hosts that state something about a workflow in which they have no part."""
        known = cast("list[bytes]", pipe.hkeys(REPORTS))
        others = {host.decode() for host in known}.difference(speakers(record))
        keys = {host: statement_key(host, record.id) for host in sorted(others)}
        if not keys or not pipe.exists(*keys.values()):
            return []
        found = [host for host, key in keys.items() if pipe.exists(key)]
        for host in found:
            self._reader.tell(record, host, "it has no part in it")
        return found

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


def _payload_key(workflow_id: str) -> str:
    return f"podferry:payload:{workflow_id}"


def _lock_keys(workflow: Workflow) -> list[str]:
    return [f"{WORKLOAD}{container}" for container in workflow.containers]
