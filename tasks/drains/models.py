"""The record of a drain: what was asked, each workload with its plan, and what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from tasks.models import AT_ONCE, GroupKind, HostName, Model, Need, OnDeadline, Outcome, State, now

PREFIX = "drain-"


class Method(StrEnum):
    """How a workload leaves its host."""

    LIVE = "live"  # with its memory
    COLD = "cold"  # stopped, and started anew on its target
    STOP = "stop"  # stopped where it is
    START = "start"  # on the way back: started where it was stopped
    STAY = "stay"  # not touched


class ItemState(StrEnum):
    """How far one workload is."""

    PLANNED = "planned"
    PARKED = "parked"  # it waits, untouched, for a host that fits: see the reason
    BEGUN = "begun"  # its workflow was submitted
    DONE = "done"  # it has left, and is healthy where it is
    FAILED = "failed"  # it has not: see the reason
    STAYS = "stays"  # nobody wants it moved


OVER = frozenset({ItemState.DONE, ItemState.FAILED, ItemState.STAYS})


class Order(StrEnum):
    """Which workloads are first, of equal priority."""

    VALUE = "value"  # most memory saved per second
    LARGEST = "largest"
    SMALLEST = "smallest"
    NAME = "name"


class DrainOptions(Model):
    """What was asked beyond the host."""

    max_parallel: int = Field(default=AT_ONCE, ge=1, le=100)  # workloads that leave at once
    per_target: int = Field(default=AT_ONCE, ge=1, le=100)  # of these, to one host
    order: Order = Order.VALUE
    on_deadline: OnDeadline = OnDeadline.COLD
    ignore_system: bool = False  # leave what belongs to the host; else it refuses the drain
    selector: dict[str, str] = Field(default_factory=dict)  # labels that targets must have
    tries: int = Field(default=2, ge=1, le=10)  # of a workload that failed and still runs


class DrainResult(StrEnum):
    """How a drain ended."""

    DRAINED = "drained"  # everything that was to leave is healthy elsewhere
    INCOMPLETE = "incomplete"  # some of it did not: see the items
    CANCELLED = "cancelled"


class Item(Model):
    """One workload of a drain. Sizes in bytes; times in seconds."""

    workload: str
    group: GroupKind | None = None
    containers: tuple[str, ...]
    source: HostName
    need: Need
    memory_bytes: int = 0
    priority: int = 0
    may_go_live: bool = True
    may_go_cold: bool = True
    method: Method = Method.LIVE
    target: HostName | None = None
    seconds: float = 0.0  # that it is expected to take
    ends_after: float = 0.0  # seconds from the plan's moment until it is expected to have left
    because: str = ""  # why it goes cold, is stopped or stays
    reason: str = ""  # why it waits, or has failed
    state: ItemState = ItemState.PLANNED
    tries: int = 0
    workflow_id: str = ""  # the newest of its workflows
    outcome: Outcome | None = None
    began: AwareDatetime | None = None
    ended: AwareDatetime | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is still to be begun."""
        return self.state in {ItemState.PLANNED, ItemState.PARKED}

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in OVER

    def changed(self, **fields: object) -> Item:
        """The item with other fields."""
        return self.model_copy(update=fields)


class Drain(Model):
    """Emptying a host, or bringing home what left it (``back``)."""

    version: Literal[1] = 1
    id: str
    host: HostName
    back: bool = False
    options: DrainOptions = DrainOptions()
    created: AwareDatetime = Field(default_factory=now)
    deadline: AwareDatetime | None = None
    items: tuple[Item, ...] = ()
    state: State = State.QUEUED
    cancel_requested: bool = False
    cold_seconds: float = 0.0  # that a cold move is expected to take
    estimate: float = 0.0  # seconds that the whole was expected to take when it was first planned
    result: DrainResult | None = None
    reason: str = ""  # why the host was to be emptied
    ended: AwareDatetime | None = None

    def seconds_left(self, moment: datetime) -> float | None:
        """Until the deadline, never below zero; None without one."""
        if self.deadline is None:
            return None
        return max(0.0, (self.deadline - moment).total_seconds())

    def with_items(self, items: Iterable[Item]) -> Drain:
        """The drain with these items in the place of those of the same name."""
        new = {item.workload: item for item in items}
        kept = tuple(new.pop(item.workload, item) for item in self.items)
        return self.model_copy(update={"items": (*kept, *new.values())})


def new_drain(
    host: str,
    options: DrainOptions | None = None,
    *,
    back: bool = False,
    deadline_seconds: float | None = None,
    reason: str = "",
    drain_id: str = "",
) -> Drain:
    """A record for a new request, with an id that sorts by time unless one is given."""
    moment = now()
    return Drain(
        id=drain_id or f"{PREFIX}{moment:%Y%m%d%H%M%S}-{secrets.token_hex(3)}",
        host=host,
        back=back,
        options=options or DrainOptions(),
        created=moment,
        deadline=moment + timedelta(seconds=deadline_seconds) if deadline_seconds else None,
        reason=reason,
    )
