"""Bring home what a drain has moved away: pure functions of its record and of where things are."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.drains.models import Drain, Item, ItemState, Method
from tasks.groups import LIVE
from tasks.models import Inventory


def homecoming(drain: Drain, inventories: Iterable[Inventory]) -> list[Item]:
    """An item for each workload that left with this drain, from wherever it runs by now.

    What was stopped is started; what went cold comes back with the memory it has by now.
    """
    places = {
        line.name: inventory.host
        for inventory in inventories
        if inventory.host != drain.host
        for line in inventory.containers
        if line.state in LIVE
    }
    left = [item for item in drain.items if item.state is ItemState.DONE]
    return [_way_back(drain.host, item, places.get(item.containers[0])) for item in left]


def _way_back(home: str, item: Item, place: str | None) -> Item:
    fresh = Item(
        workload=item.workload,
        group=item.group,
        containers=item.containers,
        source=place or home,
        need=item.need.model_copy(update={"source": place or home, "avoid": ()}),
        memory_bytes=item.memory_bytes,
        priority=item.priority,
        may_go_cold=item.may_go_cold,
        target=home,
    )
    if item.method is Method.STOP:
        return fresh.changed(method=Method.START, workflow_id=item.workflow_id)
    if place is None:
        because = "it runs on no other host any more"
        return fresh.changed(method=Method.STAY, state=ItemState.STAYS, because=because)
    return fresh
