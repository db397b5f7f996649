"""Heal hosts whose heartbeat stopped, where that is configured: one control worker takes a turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tasks.errors import TasksError
from tasks.fencing import fence
from tasks.healing import Healer, HealState
from tasks.records import Records
from tasks.registry import Registry
from tasks.turns import take_turn
from workers.repeating import Repeating

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Settings

LOOK_SECONDS = 5.0
TURN = timedelta(minutes=1)  # between two looks at what ran on a dead host; longer than a fence
log = structlog.get_logger()


class DeadHosts:
    """For how long this process has itself seen hosts without a heartbeat.

    What Redis remembers is not asked: when Redis was away, no host could send any.
    """

    def __init__(
        self, registry: Registry, after: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._after = after.total_seconds()
        self._clock = clock
        self._since: dict[str, float] = {}
        self._looked = clock()

    def look(self) -> list[str]:
        """The hosts that have been silent for long enough, but those that said farewell.

        After a pause between two looks it counts anew: what happened in it is not known.
        """
        moment, silent = self._clock(), self._silent()
        unseen = moment - self._looked > LOOK_SECONDS * 3
        self._looked = moment
        self._since = {h: moment if unseen else self._since.get(h, moment) for h in silent}
        return [host for host, since in self._since.items() if moment - since >= self._after]

    def _silent(self) -> list[str]:
        return [s.host for s in self._registry.hosts() if not s.online and not s.left]


def heal_timer(redis: Redis, settings: Settings, after: timedelta) -> Repeating:
    """Looks for dead hosts until it is stopped; of all control workers, one heals."""
    dead = DeadHosts(Registry(redis), after)

    def look() -> None:
        for host in dead.look():
            if take_turn(redis, f"heal:{host}", TURN + timedelta(seconds=settings.fence_seconds)):
                heal(redis, settings, host)

    return Repeating("heal", look, every_seconds=LOOK_SECONDS)


def heal(redis: Redis, settings: Settings, host: str) -> None:
    """Fence a host and heal it, if anything there can be; each workload is tried once."""
    records = Records(redis, keep=settings.keep_records)
    healer = Healer(records, Registry(redis), settings.archives())
    try:
        plan = healer.plan(host, again=False)
        if not any(item.state is HealState.PLANNED for item in plan):
            return
        log.warning("host is dead: fencing and healing it", host=host)
        fence(host, settings.fence_command, timeout_seconds=settings.fence_seconds)
        begun = healer.begin(host, plan, deadline_seconds=settings.deadline_seconds)
    except TasksError as error:
        log.error("host is not healed", host=host, reason=str(error))
        return
    for item in begun:
        log.warning("healing", **item.model_dump(mode="json", exclude={"old"}))
