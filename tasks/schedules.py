"""Checkpoints again and again: of what, how often, and when next. Kept until somebody ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from pydantic import AwareDatetime
from redis.exceptions import WatchError

from storage import new_checkpoint_id
from tasks.models import (
    HostName,
    Kind,
    Model,
    Options,
    Workflow,
    new_workflow,
    now,
)

if TYPE_CHECKING:
    from redis import Redis

    from tasks.locate import Place

SCHEDULES = "podferry:schedules"
SHORTEST = timedelta(seconds=10)


class Schedule(Model):
    """An incremental checkpoint of a workload ``every`` so often, wherever it runs.

    With a ``host`` only while it is there. ``last`` is the newest workflow that came of it;
    ``note`` says why the newest turn came to nothing.
    """

    workload: str
    host: HostName | None = None
    every: timedelta
    next: AwareDatetime
    last: str = ""
    note: str = ""


class Schedules:
    """The schedules of one installation: a hash ``podferry:schedules``, by workload."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def put(self, schedule: Schedule) -> None:
        """Begin a schedule, or replace the workload's."""
        self._redis.hset(SCHEDULES, schedule.workload, schedule.model_dump_json())

    def remove(self, workload: str) -> bool:
        """End a schedule; whether there was one."""
        return bool(self._redis.hdel(SCHEDULES, workload))

    def all(self) -> list[Schedule]:
        """Every schedule, by workload."""
        values = cast("dict[bytes, bytes]", self._redis.hgetall(SCHEDULES)).values()
        found = [Schedule.model_validate_json(value) for value in values]
        return sorted(found, key=lambda schedule: schedule.workload)

    def take_turn(self, schedule: Schedule, moment: datetime) -> Schedule | None:
        """The schedule with its next turn ahead; None when somebody else took or changed it."""
        turns = max(0, (moment - schedule.next) // schedule.every) + 1
        ahead = schedule.model_copy(update={"next": schedule.next + turns * schedule.every})
        return self._change(schedule.workload, lambda s: ahead if s == schedule else None)

    def note(self, schedule: Schedule, *, last: str = "", note: str = "") -> None:
        """Say what came of a turn, unless the schedule was changed or ended meanwhile."""
        told = schedule.model_copy(update={"last": last or schedule.last, "note": note})
        self._change(schedule.workload, lambda s: told if s == schedule else None)

    def _change(
        self, workload: str, change: Callable[[Schedule], Schedule | None]
    ) -> Schedule | None:
        """Replace a schedule by what ``change`` makes of it, by compare-and-set."""
        with self._redis.pipeline() as pipe:
            while True:
                pipe.watch(SCHEDULES)  # type: ignore[no-untyped-call] # as in tasks.records
                value = cast("bytes | None", pipe.hget(SCHEDULES, workload))
                new = None if value is None else change(Schedule.model_validate_json(value))
                if new is None:
                    return None
                pipe.multi()
                pipe.hset(SCHEDULES, workload, new.model_dump_json())
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new


def checkpoint_workflow(place: Place, options: Options, deadline_seconds: float) -> Workflow:
    """The record of a checkpoint that is yet to be submitted."""
    return new_workflow(
        Kind.CHECKPOINT,
        place.name,
        group=place.group,
        members=place.members,
        source=place.host,
        options=options,
        deadline_seconds=deadline_seconds,
        checkpoint_id=new_checkpoint_id(place.name, now()),
    )
