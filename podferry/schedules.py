"""The schedules of an installation, and what can be done with them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.actions import SHORTEST, Action, CheckpointAction, Cron, Every
from tasks.errors import InvalidRequestError, ScheduleNotFoundError
from tasks.models import now
from tasks.schedule import NAME_PATTERN, Missed, Run, Schedule, new_schedule

if TYPE_CHECKING:
    from tasks.locate import Locator
    from tasks.registry import Registry
    from tasks.schedules import Schedules as Records


class Schedules:
    """What is done at certain times, by name. Control workers begin it."""

    def __init__(self, records: Records, registry: Registry, locator: Locator) -> None:
        self._records = records
        self._registry = registry
        self._locator = locator

    def add(
        self,
        name: str,
        action: Action,
        times: Every | Cron | timedelta,
        *,
        missed: Missed = Missed.SKIP,
        jitter: timedelta = timedelta(),
    ) -> Schedule:
        """Begin a schedule; a plain time is that far apart, from now on.

        Raises InvalidRequestError when there is one of this name, for an action that cannot be
        scheduled, and for times that make no sense; for a checkpoint also UnknownContainerError and
        AmbiguousContainerError.
        """
        made = self._made(name, action, times, missed, jitter)
        self._records.add(made)
        return made

    def ls(self) -> list[Schedule]:
        """Every schedule, by name."""
        return self._records.all()

    def show(self, name: str) -> Schedule:
        """One schedule with its runs. Raises ScheduleNotFoundError."""
        return self._records.get(name)

    def pause(self, name: str) -> Schedule:
        """Let no more runs begin; what is begun goes on. Raises ScheduleNotFoundError."""
        return self._records.change(name, lambda s: s.model_copy(update={"paused": True}))

    def resume(self, name: str) -> Schedule:
        """Let runs begin again, from the first time after now. Raises ScheduleNotFoundError."""
        return self._records.change(name, _resumed)

    def rm(self, name: str) -> None:
        """End a schedule; what is begun goes on. Raises ScheduleNotFoundError."""
        self._records.remove(name)

    def run_now(self, name: str) -> Run:
        """Have a run begin at once, also of one that is paused; its times stay as they are.

        Raises ScheduleNotFoundError, NoControlWorkerError.
        """
        self._registry.require_control()
        moment = now()
        return self._records.change(name, lambda s: s.asked(moment)[0]).runs[-1]

    def checkpoint_every(
        self, container: str, every: timedelta | None, *, host: str | None = None
    ) -> Schedule | None:
        """Begin, replace or (None) end the schedule of a workload's checkpoints; it has its name.

        Raises InvalidRequestError for less than 10 s, when there is none to end, and when the
        schedule of that name does something else.
        """
        old = self._of(container)
        if every is None:
            if old is None:
                raise InvalidRequestError(f"{container!r} has no schedule")
            self._records.remove(container)
            return None
        action = CheckpointAction(workload=container, host=host)
        made = self._made(container, action, every, Missed.ONCE, timedelta())
        self._of(made.name)
        self._records.put(made)
        return made

    def _of(self, workload: str) -> Schedule | None:
        """The schedule of a workload's name, if it takes checkpoints of it."""
        try:
            found = self._records.get(workload)
        except ScheduleNotFoundError:
            return None
        if not isinstance(found.action, CheckpointAction) or found.action.workload != workload:
            raise InvalidRequestError(
                f"the schedule {workload!r} does something else ({found.action}); "
                f"see: podferry schedule show {workload}"
            )
        return found

    def _made(
        self,
        name: str,
        action: Action,
        times: Every | Cron | timedelta,
        missed: Missed,
        jitter: timedelta,
    ) -> Schedule:
        from workers.schedules import require_doable  # which takes long to import

        require_doable(action)
        if not re.fullmatch(NAME_PATTERN, name):
            raise InvalidRequestError(f"{name!r} is no name: use letters, digits, dots and dashes")
        if isinstance(times, timedelta):
            if times < SHORTEST:
                raise InvalidRequestError(
                    f"every {times.total_seconds():g} s is too often; use 10s"
                )
            times = Every(every=times, since=now())
        if isinstance(action, CheckpointAction):
            place = self._locator.locate(action.workload, action.host)
            name = place.name if name == action.workload else name
            action = action.model_copy(update={"workload": place.name})
        try:
            return new_schedule(name, action, times, missed=missed, jitter=jitter)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error


def _resumed(schedule: Schedule) -> Schedule:
    ahead = schedule.times.after(now())
    if ahead is None:
        raise InvalidRequestError(f"{schedule.times} has no time to come")
    return schedule.model_copy(update={"paused": False, "next": ahead})
