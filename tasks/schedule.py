"""The record of a schedule, and what a moment changes of it. Pure."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from tasks.actions import Action, Cron, Every, Times
from tasks.models import Model, now

LEASE = timedelta(seconds=30)  # how long a run stays taken by a control worker that may have died
MISSED_AFTER = timedelta(minutes=1)  # a run that begins later was missed
KEEP_RUNS = 20
TICK = timedelta(microseconds=1)
NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$"


class Missed(StrEnum):
    """What becomes of runs whose time passed while no control worker ran."""

    SKIP = "skip"  # nothing: the next one comes at its time
    ONCE = "once"  # one run makes up for all of them


class RunState(StrEnum):
    """How far a run has come."""

    ASKED = "asked"  # its time has come; nothing is begun yet
    BEGUN = "begun"
    ENDED = "ended"
    SKIPPED = "skipped"  # it could not begin; ``note`` says why
    MISSED = "missed"  # no control worker ran at its time


class Run(Model):
    """One run. What it begins (a workflow, a drain, a task) has its id, so it begins once only."""

    id: str
    planned: AwareDatetime
    state: RunState = RunState.ASKED
    look_at: AwareDatetime | None = None  # when a control worker goes on with it; None: it is over
    ended: AwareDatetime | None = None
    outcome: str = ""
    note: str = ""

    def again(self, at: datetime) -> Run:
        """The run, begun, and to be looked at again then."""
        return self.model_copy(update={"state": RunState.BEGUN, "look_at": at})

    def over(self, outcome: str = "", *, state: RunState = RunState.ENDED, note: str = "") -> Run:
        """The run at its end."""
        told = {"state": state, "look_at": None, "ended": now(), "outcome": outcome}
        return self.model_copy(update={**told, "note": note or self.note})


class Schedule(Model):
    """An action at certain times. Its runs are those that are not over, and the newest."""

    version: Literal[1] = 1
    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    action: Action
    times: Times
    missed: Missed = Missed.SKIP
    jitter: timedelta = Field(default=timedelta(), ge=timedelta())  # a run begins so much later
    paused: bool = False
    next: AwareDatetime  # the next time, without jitter
    runs: tuple[Run, ...] = ()

    @property
    def wakes(self) -> datetime | None:
        """When a control worker has to look at it; None: not by itself."""
        moments = [run.look_at for run in self.runs if run.look_at is not None]
        moments += [] if self.paused else [self.begins(self.next)]
        return min(moments, default=None)

    def begins(self, planned: datetime) -> datetime:
        """When the run of a planned time begins: the same for everybody who asks."""
        seed = hashlib.sha256(f"{self.name} {planned.timestamp()}".encode()).digest()
        return planned + self.jitter * (int.from_bytes(seed[:4]) / 2**32)

    def upcoming(self, count: int, moment: datetime) -> tuple[datetime, ...]:
        """The next times, without jitter; none while it is paused."""
        found: list[datetime] = []
        planned = None if self.paused else self.next
        while planned is not None and len(found) < count:
            found += [planned] if planned > moment else []
            planned = self.times.after(max(planned, moment))
        return tuple(found)

    def take(self, moment: datetime) -> tuple[Schedule, Run | None]:
        """What is to be done now: the schedule with that taken, and the run to go on with."""
        if not self.paused and self.begins(self.next) <= moment:
            return self._turn(moment)
        for run in self.runs:
            if run.look_at is not None and run.look_at <= moment:
                taken = run.model_copy(update={"look_at": moment + LEASE})
                return self.with_run(taken), taken
        return self, None

    def asked(self, moment: datetime) -> tuple[Schedule, Run]:
        """The schedule with a run out of turn."""
        run = self._run(moment).model_copy(update={"look_at": moment})
        return self.with_run(run), run

    def with_run(self, run: Run) -> Schedule:
        """The schedule with a run in place of the one of its id, or after all others."""
        old = [r.id for r in self.runs]
        runs = [run if r.id == run.id else r for r in self.runs]
        runs += [] if run.id in old else [run]
        kept = [r for r in runs[:-KEEP_RUNS] if r.look_at is not None] + runs[-KEEP_RUNS:]
        return self.model_copy(update={"runs": tuple(kept)})

    def _turn(self, moment: datetime) -> tuple[Schedule, Run | None]:
        """Take the newest run that may begin; those before it were missed."""
        planned = self.times.latest(moment) or self.next
        if self.begins(planned) > moment:
            planned = self.times.latest(planned - TICK) or self.next
        planned = max(planned, self.next)
        ahead = self.times.after(planned)
        paused = {"paused": True} if ahead is None else {"next": ahead}
        run = self._run(planned)
        if planned > self.next:
            run = run.model_copy(update={"note": f"missed since {self.next:%Y-%m-%d %H:%M} UTC"})
        late = moment - self.begins(planned) > MISSED_AFTER
        if late and self.missed is Missed.SKIP:
            gone = run.over(state=RunState.MISSED, note=run.note or "no control worker ran then")
            return self.with_run(gone).model_copy(update=paused), None
        taken = run.model_copy(update={"look_at": moment + LEASE})
        return self.with_run(taken).model_copy(update=paused), taken

    def _run(self, planned: datetime) -> Run:
        token = secrets.token_hex(3)
        return Run(id=f"{self.action.action}-{planned:%Y%m%d%H%M%S}-{token}", planned=planned)


def new_schedule(
    name: str,
    action: Action,
    times: Every | Cron,
    *,
    missed: Missed = Missed.SKIP,
    jitter: timedelta = timedelta(),
    moment: datetime | None = None,
) -> Schedule:
    """A schedule whose first run is the first time after now.

    Raises ValueError when that never comes, or when jitter is not shorter than the time between
    two runs.
    """
    first = times.after(moment or now())
    if first is None:
        raise ValueError(f"{times} has no time to come")
    made = Schedule(name=name, action=action, times=times, missed=missed, jitter=jitter, next=first)
    coming = made.upcoming(KEEP_RUNS, first - TICK)
    shortest = min((b - a for a, b in pairwise(coming)), default=None)
    if shortest is not None and jitter >= shortest:
        raise ValueError(f"a jitter of {jitter} is too long: two runs are {shortest} apart")
    return made
