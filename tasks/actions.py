"""What a schedule does, and when: records that say so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, field_validator

from tasks.cron import parse_cron
from tasks.models import HostName, Model, OnDeadline

SHORTEST = timedelta(seconds=10)


class CheckpointAction(Model):
    """An incremental checkpoint of a workload wherever it runs; with a host, only while there."""

    action: Literal["checkpoint"] = "checkpoint"
    workload: str
    host: HostName | None = None

    def __str__(self) -> str:
        return f"checkpoint {self.workload}" + (f" on {self.host}" if self.host else "")


class RetentionAction(Model):
    """Prune the store by the control workers' settings."""

    action: Literal["retention"] = "retention"

    def __str__(self) -> str:
        return "retention"


class DrainAction(Model):
    """Empty a host; ``bring_back_after``: so long after the drain's end all of it goes home."""

    action: Literal["drain"] = "drain"
    host: HostName
    deadline: timedelta | None = Field(default=None, gt=timedelta())  # None: without one
    on_deadline: OnDeadline = OnDeadline.ABORT
    bring_back_after: timedelta | None = Field(default=None, ge=timedelta())
    max_parallel: int | None = Field(default=None, ge=1)

    def __str__(self) -> str:
        back = self.bring_back_after
        return f"drain {self.host}" + ("" if back is None else f", back after {back}")


Action = Annotated[CheckpointAction | RetentionAction | DrainAction, Field(discriminator="action")]


class Every(Model):
    """A fixed time apart, counted from ``since``; clocks and zones do not matter."""

    kind: Literal["every"] = "every"
    every: timedelta = Field(ge=SHORTEST)
    since: AwareDatetime

    def after(self, moment: datetime) -> datetime | None:
        """The first time after a moment."""
        return self.since + ((moment - self.since) // self.every + 1) * self.every

    def latest(self, moment: datetime) -> datetime | None:
        """The last time up to a moment."""
        return self.since + (moment - self.since) // self.every * self.every

    @property
    def zone(self) -> str:
        """None of its own."""
        return "UTC"

    def __str__(self) -> str:
        return f"every {self.every}"


class Cron(Model):
    """The times of a cron expression in a time zone, such as Europe/Berlin; see tasks.cron."""

    kind: Literal["cron"] = "cron"
    expression: str
    zone: str = "UTC"

    @field_validator("expression")
    @classmethod
    def _valid(cls, expression: str) -> str:
        parse_cron(expression)
        return expression

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"unknown time zone {zone!r}; write one as Europe/Berlin") from None
        return zone

    def after(self, moment: datetime) -> datetime | None:
        """The first time after a moment; None when there is none for eight years."""
        return parse_cron(self.expression).after(moment, ZoneInfo(self.zone))

    def latest(self, moment: datetime) -> datetime | None:
        """The last time up to a moment; None when there was none for eight years."""
        return parse_cron(self.expression).latest(moment, ZoneInfo(self.zone))

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


Times = Annotated[Every | Cron, Field(discriminator="kind")]
