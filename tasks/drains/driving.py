"""Drive drains on: begin what has its turn, see what became of what was begun, end what is over.

``drive`` may be called by anybody, at any time, by several at once: what it decides is a change of
the drain's record by compare-and-set, and what it submits has an id that the record names, so that
whoever takes over from a control worker that died submits the same workflow, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from storage import new_checkpoint_id
from tasks import control
from tasks.drains.models import (
    PREFIX,
    Drain,
    DrainResult,
    Item,
    ItemState,
    Method,
)
from tasks.drains.plan import makespan, ordered, placed, reservations, timed
from tasks.drains.rates import Rates, rates
from tasks.drains.results import settled
from tasks.drains.workloads import items_of
from tasks.errors import CancelledError, InvalidRequestError, WorkloadBusyError
from tasks.models import (
    Inventory,
    Kind,
    OnDeadline,
    Options,
    Outcome,
    State,
    Workflow,
    new_workflow,
    now,
)
from tasks.placement import Candidate
from tasks.placing import MOVES, Placer

if TYPE_CHECKING:
    from tasks.drains.records import Drains
    from tasks.records import Records
    from tasks.registry import Registry

LEARN_FROM = 50  # moves that left the host before
LONGEST_SECONDS = 3600.0  # of one workload, where the drain has no deadline
log = structlog.get_logger()


class Driver:
    """Plans drains and drives them on."""

    def __init__(self, drains: Drains, records: Records, registry: Registry) -> None:
        self._drains = drains
        self._records = records
        self._registry = registry
        self._placer = Placer(records, registry)

    def plan(self, drain: Drain) -> Drain:
        """The drain with all that it is about, placed and timed. Nothing is changed by it.

        Raises InvalidRequestError for labels that cannot be read.
        """
        items = drain.items
        if not drain.back and not items:
            inventory = self._registry.inventory(drain.host)
            items = tuple(items_of(inventory, drain.options.selector)) if inventory else ()
        others = [other for other in self._drains.live() if other.id != drain.id]
        candidates = reservations(others, self._placer.candidates())
        drain = drain.with_items(placed(items, _for(drain, candidates)))
        drain = timed(drain, self._rates(drain), drain.seconds_left(now()))
        return drain.model_copy(update={"estimate": makespan(drain.items)})

    def drive(self, drain_id: str) -> Drain:
        """Do what a drain needs now; return it as it is then."""
        drain = self._drains.get(drain_id)
        if drain.state is State.QUEUED:
            if not drain.back:
                self._registry.cordon(drain.host, reason=drain.reason, drain=drain.id)
            with self._registry.placing():
                planned = self.plan(drain)
                drain = self._drains.update(drain_id, lambda d: _begun(d, planned))
        if drain.state is State.ENDED:
            return drain
        ended = self._ended(drain)
        anew = self._placed_anew(drain)
        learnt = self._rates(drain) if drain.deadline else None

        def change(drain: Drain) -> Drain:
            drain = drain.with_items(_settled(drain, ended)).with_items(_placed(drain, anew))
            moment = now()
            if learnt is not None:
                drain = timed(drain, learnt, drain.seconds_left(moment))
            drain = drain.with_items(_given_up(drain, moment))
            return drain.with_items(_next(drain, moment))

        drain = self._verified(self._drains.update(drain_id, change))
        for item in drain.items:
            if item.state is ItemState.BEGUN:
                self._go_on(drain, item)
        if drain.state is State.ENDED:
            self._leave(drain)
        elif all(item.over for item in drain.items):
            self._registry.cordon(drain.host, reason=drain.reason, drain=drain.id, rings=True)
        return drain

    def _rates(self, drain: Drain) -> Rates:
        moves = self._records.recent(LEARN_FROM, host=drain.host, state=State.ENDED)
        return rates(move for move in moves if move.source == drain.host)

    def _ended(self, drain: Drain) -> dict[str, Workflow]:
        """The workflows of its items that have ended, by id."""
        ids = [item.workflow_id for item in drain.items if item.state is ItemState.BEGUN]
        found = {w.id: w for w in self._records.some(ids) if w.state is State.ENDED}
        # those have ended before, and are to go on
        again = {i.workflow_id for i in drain.items if i.method is Method.START}
        return {
            i: w for i, w in found.items() if i not in again or w.outcome is not Outcome.STOPPED
        }

    def _placed_anew(self, drain: Drain) -> list[Item]:
        """What waits for a host, or was to go to one that takes nothing any more, placed anew."""
        waiting = [item for item in drain.items if item.waiting]
        shut = self._registry.cordoned() if waiting and not drain.back else set()
        waiting = [i for i in waiting if i.state is ItemState.PARKED or i.target in shut]
        if not waiting:
            return []
        candidates = reservations(self._drains.live(), self._placer.candidates())
        return placed(waiting, _for(drain, candidates))

    def _verified(self, drain: Drain) -> Drain:
        """The drain, ended if all of it is over and nothing is left on its host; see verified."""
        if not all(item.over for item in drain.items):
            return drain
        there = None if drain.back else self._registry.inventory(drain.host)
        ends = verified(drain, there).state is State.ENDED
        if ends and there and not drain.cancel_requested and self._coming(there):
            return drain
        return self._drains.update(drain.id, lambda drain: verified(drain, there))

    def _coming(self, there: Inventory) -> bool:
        """Whether something is on its way to a host, or came after this look at it.

        Where the host is cordoned, such a move was begun before.
        """
        moves = self._records.live_of(there.host)
        moves += self._records.recent(LEARN_FROM, host=there.host, state=State.ENDED)
        to = (move for move in moves if move.target == there.host and move.kind in MOVES)
        return any(move.ended is None or move.ended >= there.taken for move in to)

    def _go_on(self, drain: Drain, item: Item) -> None:
        """Submit the workflow of an item, unless it was submitted before; cancel it with the drain.

        Another workflow may have the workload: then it is submitted when that has ended.
        """
        try:
            if item.method is Method.START:
                self._start(item)
            else:
                self._records.create(_workflow(drain, item))
            if drain.cancel_requested:
                control.cancel(self._records, item.workflow_id)
        except WorkloadBusyError as error:
            log.info("waits for its turn", drain=drain.id, reason=str(error))
        except InvalidRequestError as error:  # it is past its commit point, or has ended
            log.info("not cancelled", drain=drain.id, reason=str(error))

    def _start(self, item: Item) -> None:
        """Start what a drain had stopped, with the restart policy that it had."""
        if self._records.get(item.workflow_id).outcome is Outcome.STOPPED:
            control.resume(self._records, item.workflow_id, self._registry.online())

    def _leave(self, drain: Drain) -> None:
        """A host that was emptied stays cordoned until somebody says otherwise."""
        if not drain.back:
            self._registry.cordon(drain.host, reason=f"{drain.id}: {drain.result}")
        log.info("drain ended", drain=drain.id, host=drain.host, result=drain.result)


def _for(drain: Drain, candidates: list[Candidate]) -> list[Candidate]:
    """What comes home goes nowhere else."""
    return [c for c in candidates if c.host == drain.host] if drain.back else candidates


def verified(drain: Drain, there: Inventory | None) -> Drain:
    """The drain, ended, if a look at its host that is young enough shows that nothing is left.

    What came there meanwhile is drained too.
    """
    if drain.state is State.ENDED or not all(item.over for item in drain.items):
        return drain
    if drain.back or drain.cancel_requested or there is None or there.error:
        return _ended(drain)
    if any(item.ended is not None and item.ended >= there.taken for item in drain.items):
        return drain
    known = {name for item in drain.items for name in item.containers}
    found = items_of(there, drain.options.selector)
    new = [i for i in found if known.isdisjoint(i.containers) and i.state is not ItemState.STAYS]
    if new:
        return drain.with_items(i.changed(state=ItemState.PARKED) for i in new)
    running = {name for item in found for name in item.containers}
    back = [i for i in drain.items if i.state is ItemState.DONE and running & set(i.containers)]
    reason = f"it runs on {drain.host} again"
    return _ended(drain.with_items(i.changed(state=ItemState.FAILED, reason=reason) for i in back))


def _ended(drain: Drain) -> Drain:
    left = any(item.state is ItemState.FAILED for item in drain.items)
    result = DrainResult.INCOMPLETE if left else DrainResult.DRAINED
    if drain.cancel_requested and left:
        result = DrainResult.CANCELLED
    return drain.model_copy(update={"state": State.ENDED, "result": result, "ended": now()})


def _begun(drain: Drain, planned: Drain) -> Drain:
    if drain.state is not State.QUEUED:
        return drain
    fields = {"items": planned.items, "estimate": planned.estimate, "state": State.RUNNING}
    return drain.model_copy(update=fields)


def _settled(drain: Drain, ended: dict[str, Workflow]) -> list[Item]:
    tries, home = drain.options.tries, drain.host if drain.back else None
    return [
        settled(item, ended[item.workflow_id], tries, home)
        for item in drain.items
        if item.state is ItemState.BEGUN and item.workflow_id in ended
    ]


def _placed(drain: Drain, found: Sequence[Item]) -> list[Item]:
    """What was placed, where it still waits."""
    waiting = {item.workload for item in drain.items if item.waiting}
    return [item for item in found if item.workload in waiting]


def _past(drain: Drain, moment: datetime) -> bool:
    late = drain.deadline is not None and moment >= drain.deadline
    return late and drain.options.on_deadline is not OnDeadline.CONTINUE


def _given_up(drain: Drain, moment: datetime) -> list[Item]:
    """What is not begun any more. A cold start is never too late while the host lives."""
    reason = str(CancelledError()) if drain.cancel_requested else "the deadline has passed"
    past = _past(drain, moment)
    return [
        item.changed(state=ItemState.FAILED, reason=item.reason or reason)
        for item in drain.items
        if item.waiting and (drain.cancel_requested or (past and not _goes_cold_late(drain, item)))
    ]


def _goes_cold_late(drain: Drain, item: Item) -> bool:
    planned = item.state is ItemState.PLANNED and _is_cold(item)
    return planned and drain.options.on_deadline is OnDeadline.COLD


def _is_cold(item: Item) -> bool:
    return item.method in {Method.COLD, Method.STOP}


def _next(drain: Drain, moment: datetime) -> list[Item]:
    """The items whose turn it is, begun: as many as may leave at once."""
    busy = [item for item in drain.items if item.state is ItemState.BEGUN]
    to = Counter(item.target for item in busy if item.target)
    room = drain.options.max_parallel - len(busy)
    left = drain.seconds_left(moment)
    found: list[Item] = []
    waiting = (item for item in drain.items if item.state is ItemState.PLANNED)
    for item in ordered(waiting, drain.options.order):
        full = item.target is not None and to[item.target] >= drain.options.per_target
        if len(found) >= room or full or not _in_time(drain, item, left):
            continue
        to.update([item.target] if item.target else [])
        found.append(_with_workflow(drain, item, moment))
    return found


def _in_time(drain: Drain, item: Item, left: float | None) -> bool:
    """Whether it is worth beginning: what would only be called back is not."""
    abort = drain.options.on_deadline is OnDeadline.ABORT
    return left is None or not abort or item.seconds <= left


def _with_workflow(drain: Drain, item: Item, moment: datetime) -> Item:
    tries = item.tries + 1
    return item.changed(
        state=ItemState.BEGUN,
        tries=tries,
        workflow_id=_workflow_id(drain, item, tries),
        began=item.began or moment,
    )


def _workflow_id(drain: Drain, item: Item, tries: int) -> str:
    """Chosen with the turn, so that it is submitted once; a start reopens what had stopped it."""
    if item.method is Method.START:
        return item.workflow_id
    return f"{_kind(item)}-{drain.id.removeprefix(PREFIX)}-{item.workload}-{tries}"


def _kind(item: Item) -> Kind:
    return Kind.STOP if item.method is Method.STOP else Kind.MIGRATE


def _workflow(drain: Drain, item: Item) -> Workflow:
    """The record of the item's newest try."""
    late, moment = drain.options.on_deadline, now()
    seconds = LONGEST_SECONDS
    unhurried = late is OnDeadline.CONTINUE or (late is OnDeadline.COLD and _is_cold(item))
    if drain.deadline is not None and not unhurried:
        # what turns out to be too slow goes cold, or back and then cold, before the drain's end
        spare = 2 * drain.cold_seconds if late is OnDeadline.COLD else 0.0
        seconds = max(1.0, (drain.deadline - moment).total_seconds() - spare)
    if late is OnDeadline.COLD and not item.may_go_cold:
        late = OnDeadline.ABORT
    moves = _kind(item) is Kind.MIGRATE
    workflow = new_workflow(
        _kind(item),
        item.workload,
        group=item.group,
        members=item.containers,
        source=item.source,
        target=item.target,
        options=Options(on_deadline=late, cold=item.method is Method.COLD),
        need=item.need if moves else None,
        deadline_seconds=seconds,
        checkpoint_id=new_checkpoint_id(item.workload, moment) if moves else "",
    )
    return workflow.model_copy(update={"id": item.workflow_id, "drain": drain.id})
