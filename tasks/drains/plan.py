"""The plan of a drain: pure functions of its items and of what is known of the time they take.

What is worth most per second is first. Under a deadline, what cannot leave in time with its memory
goes cold; the plan is made again whenever a workload has left, so that it follows what really
happens.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from tasks.drains.models import Drain, Item, ItemState, Method, Order
from tasks.drains.rates import Rates, crowded
from tasks.models import Need, OnDeadline
from tasks.placement import Candidate, Ranking

# The part of the time that is planned with: what is begun in the last fifth would often be late.
USED = 0.8
NO_TIME = "no time for its memory: about {needed:.0f} s, {left:.0f} s are left for it"


def placed(items: Iterable[Item], candidates: Sequence[Candidate]) -> list[Item]:
    """Give each workload that waits a host; one that fits none is parked, and says why.

    The most demanding is placed first: what is small still fits where it does not.
    """
    ranking = Ranking(candidates)
    order = sorted(items, key=lambda item: (-item.need.memory_bytes, item.workload))
    found: dict[str, Item] = {}
    for item in order:
        if not item.waiting or item.method in {Method.STOP, Method.START, Method.STAY}:
            continue
        host = ranking.take(item.need)
        state = ItemState.PARKED if host is None else ItemState.PLANNED
        reason = ranking.why_not(item.need) if host is None else ""
        found[item.workload] = item.changed(state=state, target=host, reason=reason)
    return [found.get(item.workload, item) for item in items]


def timed(drain: Drain, rates: Rates, left: float | None) -> Drain:
    """Choose how each waiting workload leaves, and say when. ``left``: seconds to the deadline."""
    lanes = drain.options.max_parallel
    waiting = [_with_seconds(i, rates, lanes) for i in drain.items if _goes(i)]
    busy = [i.seconds for i in drain.items if i.state is ItemState.BEGUN]
    if left is not None and drain.options.on_deadline is OnDeadline.COLD:
        waiting = _within(drain, waiting, busy, rates, left * USED)
    planned = _scheduled(ordered(waiting, drain.options.order), busy, lanes)
    return drain.with_items(planned).model_copy(update={"cold_seconds": rates.cold})


def ordered(items: Iterable[Item], order: Order) -> list[Item]:
    """Which is begun first: what goes cold at once, then by priority, then as was asked."""
    return sorted(items, key=lambda item: (_late(item), -item.priority, *_key(item, order)))


def makespan(items: Iterable[Item]) -> float:
    """Seconds from now until the last of them has left."""
    return max((item.ends_after for item in items if item.state is not ItemState.STAYS), default=0)


def _within(
    drain: Drain, waiting: Sequence[Item], busy: Sequence[float], rates: Rates, left: float
) -> list[Item]:
    """As many live as leave in time, the most valuable ones; the others go cold, if they may."""
    lanes, order = drain.options.max_parallel, drain.options.order

    def ends(plan: dict[str, Item]) -> float:
        return makespan(_scheduled(ordered(plan.values(), order), busy, lanes))

    chosen = {i.workload: _cold(i, rates, lanes) for i in waiting}
    before = ends(chosen)
    for item in sorted(waiting, key=lambda i: (-i.priority, *_key(i, order))):
        if item.method is not Method.LIVE:
            continue
        tried = {**chosen, item.workload: item}
        after = ends(tried)
        # where even cold starts are late, what makes nothing later and is quick keeps its memory
        quick = after <= before and item.seconds <= left - 2 * rates.cold
        if not item.may_go_cold or after <= left or quick:
            chosen, before = tried, after
        else:
            because = NO_TIME.format(needed=item.seconds, left=left)
            chosen[item.workload] = chosen[item.workload].changed(because=because)
    return list(chosen.values())


def _scheduled(items: Sequence[Item], busy: Sequence[float], lanes: int) -> list[Item]:
    """When each is expected to have left, begun in this order on so many lanes."""
    free = sorted(busy)[-lanes:]
    free = [*free, *[0.0] * (lanes - len(free))]
    heapq.heapify(free)
    found = []
    for item in items:
        ends = heapq.heappop(free) + item.seconds
        heapq.heappush(free, ends)
        found.append(item.changed(ends_after=ends))
    return found


def _goes(item: Item) -> bool:
    return item.state is ItemState.PLANNED and item.method is not Method.STAY


def _with_seconds(item: Item, rates: Rates, lanes: int) -> Item:
    """What was to go cold only for want of time is asked again: there may be enough by now."""
    if item.method is Method.COLD and item.may_go_live:
        item = item.changed(method=Method.LIVE, because="")
    live = item.method is Method.LIVE
    seconds = rates.live(item.memory_bytes, parallel=lanes) if live else _cold_seconds(rates, lanes)
    return item.changed(seconds=seconds)


def _cold(item: Item, rates: Rates, lanes: int) -> Item:
    if item.method is not Method.LIVE or not item.may_go_cold:
        return item
    return item.changed(method=Method.COLD, seconds=_cold_seconds(rates, lanes))


def _cold_seconds(rates: Rates, lanes: int) -> float:
    return rates.cold * crowded(lanes)


def _late(item: Item) -> bool:
    """Cold ones are first: they are quick, and nothing is gained by their waiting."""
    return item.method is Method.LIVE


def _key(item: Item, order: Order) -> tuple[float, str]:
    match order:
        case Order.VALUE:
            worth = -item.memory_bytes / item.seconds if item.seconds else 0.0
        case Order.LARGEST:
            worth = -float(item.memory_bytes)
        case Order.SMALLEST:
            worth = float(item.memory_bytes)
        case Order.NAME:
            worth = 0.0
    return worth, item.workload


def reservations(drains: Iterable[Drain], candidates: list[Candidate]) -> list[Candidate]:
    """The candidates once what other drains have planned is on its way too."""
    planned: dict[str, list[Need]] = {}
    for item in (item for drain in drains for item in drain.items):
        if item.target is not None and item.state is ItemState.PLANNED:
            planned.setdefault(item.target, []).append(item.need)
    return [c.with_all_reserved(planned.get(c.host, ())) for c in candidates]
