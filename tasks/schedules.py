"""Schedules in Redis, changed by compare-and-set only: of all control workers one takes a turn."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, cast

from redis.exceptions import WatchError

from storage import new_checkpoint_id
from tasks.actions import CheckpointAction, Every
from tasks.broker import watch
from tasks.errors import InvalidRequestError, ScheduleNotFoundError
from tasks.models import Kind, Options, Workflow, new_workflow, now
from tasks.schedule import Missed, Run, RunState, Schedule
from tasks.stored import load, load_known

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

    from tasks.locate import Place

SCHEDULE = "podferry:schedule:"
WAKING = "podferry:schedules:waking"
OLD = "podferry:schedules"  # a hash that earlier versions kept


class Schedules:
    """The schedules of one installation.

    Keys: ``podferry:schedule:NAME`` (the record), ``podferry:schedules:waking`` (every name, by the
    time at which a control worker has to look at it, infinite for none).
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, schedule: Schedule) -> None:
        """Begin a schedule. Raises InvalidRequestError when there is one of this name."""
        if not self._put(schedule, new=True):
            raise InvalidRequestError(
                f"there is a schedule {schedule.name!r} already; "
                f"end it first: podferry schedule rm {schedule.name}"
            )

    def put(self, schedule: Schedule) -> None:
        """Begin a schedule, or replace the one of its name."""
        self._put(schedule)

    def get(self, name: str) -> Schedule:
        """One schedule. Raises ScheduleNotFoundError, UnreadableRecordError."""
        return _parse(name, cast("bytes | None", self._redis.get(SCHEDULE + name)))

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        names = sorted(n.decode() for n in cast("list[bytes]", self._redis.zrange(WAKING, 0, -1)))
        values = cast(
            "list[bytes | None]", self._redis.mget([SCHEDULE + n for n in names]) if names else []
        )
        found = zip(names, values, strict=True)
        return load_known(Schedule, ((n, value) for n, value in found if value is not None))

    def remove(self, name: str) -> None:
        """End a schedule. What it began goes on. Raises ScheduleNotFoundError."""
        with self._redis.pipeline() as pipe:
            pipe.delete(SCHEDULE + name)
            pipe.zrem(WAKING, name)
            if not pipe.execute()[0]:
                raise ScheduleNotFoundError(name)

    def change(self, name: str, change: Callable[[Schedule], Schedule]) -> Schedule:
        """Replace a record by ``change`` of it, atomically; return the new one.

        ``change`` may run several times and may raise to leave the record as it is. Raises
        ScheduleNotFoundError.
        """
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, SCHEDULE + name)
                old = _parse(name, cast("bytes | None", pipe.get(SCHEDULE + name)))
                new = change(old)
                if new == old:
                    return old
                pipe.multi()
                _write(pipe, new)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new

    def awake(self, moment: datetime) -> list[str]:
        """The names of those that are to be looked at, the most overdue first."""
        found = self._redis.zrangebyscore(WAKING, "-inf", moment.timestamp())
        return [name.decode() for name in cast("list[bytes]", found)]

    def take(self, name: str, moment: datetime) -> tuple[Schedule, Run] | None:
        """Take what is to be done; None when somebody else has, or there is nothing to do."""
        taken: list[Run | None] = [None]

        def turn(schedule: Schedule) -> Schedule:
            new, taken[0] = schedule.take(moment)
            return new

        try:
            schedule = self.change(name, turn)
        except ScheduleNotFoundError:
            return None
        return None if taken[0] is None else (schedule, taken[0])

    def tell(self, name: str, taken: Run, run: Run) -> None:
        """Say what became of a run, unless somebody else took it meanwhile, or it was ended."""

        def told(schedule: Schedule) -> Schedule:
            return schedule.with_run(run) if taken in schedule.runs else schedule

        try:
            self.change(name, told)
        except ScheduleNotFoundError:
            return

    def adopt(self) -> None:
        """Take over the schedules that an earlier version kept."""
        old = cast("dict[bytes, bytes]", self._redis.hgetall(OLD))
        for workload, value in old.items():
            schedule = _adopted(value)
            with self._redis.pipeline() as pipe:
                pipe.set(SCHEDULE + schedule.name, schedule.model_dump_json(), nx=True)
                pipe.zadd(WAKING, {schedule.name: _score(schedule)}, nx=True)
                pipe.hdel(OLD, workload.decode())
                pipe.execute()

    def _put(self, schedule: Schedule, *, new: bool = False) -> bool:
        with self._redis.pipeline() as pipe:
            while True:
                watch(pipe, SCHEDULE + schedule.name)
                if new and pipe.exists(SCHEDULE + schedule.name):
                    return False
                pipe.multi()
                _write(pipe, schedule)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return True


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


def _adopted(value: bytes) -> Schedule:
    """What is a schedule now of the old record: workload, host, every, next, last, note."""
    old = json.loads(value)
    times = Every.model_validate({"every": old["every"], "since": old["next"]})
    last = Run(id=old["last"], planned=times.since, state=RunState.ENDED) if old["last"] else None
    return Schedule(
        name=old["workload"],
        action=CheckpointAction(workload=old["workload"], host=old["host"]),
        times=times,
        missed=Missed.ONCE,
        next=times.since,
        runs=(last,) if last else (),
    )


def _score(schedule: Schedule) -> float:
    return schedule.wakes.timestamp() if schedule.wakes else math.inf


def _write(pipe: Pipeline, schedule: Schedule) -> None:
    pipe.set(SCHEDULE + schedule.name, schedule.model_dump_json())
    pipe.zadd(WAKING, {schedule.name: _score(schedule)})


def _parse(name: str, value: bytes | None) -> Schedule:
    if value is None:
        raise ScheduleNotFoundError(name)
    return load(Schedule, name, value)
