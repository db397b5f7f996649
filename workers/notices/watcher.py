"""Look for notices, and drain the host when there is one; each is handled once per host."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tasks.drains.models import Drain, DrainOptions
from tasks.drains.records import Drains
from tasks.drains.requests import begin_drain, cancel_drain
from tasks.errors import HostBusyError, TasksError
from tasks.models import State, now
from tasks.registry import Registry
from workers.notices.handled import Handled
from workers.repeating import Repeating

if TYPE_CHECKING:
    from redis import Redis

    from workers.notices.models import Notice, Source

LOOK_SECONDS = 2.0
SPARE_SECONDS = 2.0  # the drain ends before the machine does
LEAST_SECONDS = 1.0  # a drain whose deadline has passed begins nothing
LATE = timedelta(minutes=10)  # a machine that is still there then was not taken away
OPTIONS = DrainOptions(ignore_system=True)
log = structlog.get_logger()


class Watcher:
    """Looks at the sources of one host."""

    def __init__(self, redis: Redis, host: str, sources: Sequence[Source], drains: Drains) -> None:
        self._host = host
        self._sources = sources
        self._drains = drains
        self._registry = Registry(redis)
        self._handled = Handled(redis, host)
        self._silent: set[str] = set()  # sources that failed when they were last asked
        self._late: set[str] = set()  # notices that came too late, and were told of

    def look(self) -> None:
        """Ask every source, and begin a drain for what is new."""
        for source in self._sources:
            for notice in self._ask(source):
                self._heed(notice)

    def _ask(self, source: Source) -> Sequence[Notice]:
        try:
            found = source.look()
        except Exception as error:  # whatever it is, the other sources are looked at
            if source.name not in self._silent:
                log.warning("no reclaim notices from here", source=source.name, reason=str(error))
            self._silent.add(source.name)
            return []
        if source.name in self._silent:
            log.info("reclaim notices are looked for again", source=source.name)
            self._silent.remove(source.name)
        return found

    def _heed(self, notice: Notice) -> None:
        if notice.deadline < now() - LATE:
            self._tell_late(notice)
        elif self._handled.claim(notice):
            if self._empty(notice):
                self._handled.done(notice)
            else:
                self._handled.release(notice)

    def _empty(self, notice: Notice) -> bool:
        """Whether a drain is under way now that ends in time."""
        try:
            try:
                self._begin(notice)
            except HostBusyError as busy:
                return self._hurry(busy.drain_id, notice)
        except TasksError as error:
            log.error("reclaim notice: host is not drained", reason=str(error), **_fields(notice))
            return False
        return True

    def _begin(self, notice: Notice) -> None:
        left = (notice.deadline - now()).total_seconds()
        drain = begin_drain(
            self._drains,
            self._registry,
            self._host,
            OPTIONS,
            deadline_seconds=max(LEAST_SECONDS, left - SPARE_SECONDS),
            reason=f"reclaim notice from {notice.source}: {notice.reason}".removesuffix(": "),
        )
        log.warning("reclaim notice: host is drained", drain=drain.id, **_fields(notice))

    def _hurry(self, drain_id: str, notice: Notice) -> bool:
        """Give the drain that is under way the earlier deadline, and have it go cold in time.

        One that empties nothing is called off; when it has ended, the notice's own begins.
        """
        running = self._drains.get(drain_id)
        if running.back or running.cancel_requested:
            cancel_drain(self._drains, drain_id)
            log.warning("reclaim notice: waits for the end of", drain=drain_id, **_fields(notice))
            return False
        until = max(notice.deadline, now() + timedelta(seconds=LEAST_SECONDS))

        def earlier(drain: Drain) -> Drain:
            late = drain.deadline is None or drain.deadline > until
            if drain.state is State.ENDED or not late:
                return drain
            options = drain.options.model_copy(
                update={"on_deadline": OPTIONS.on_deadline, "max_parallel": OPTIONS.max_parallel}
            )
            return drain.model_copy(update={"deadline": until, "options": options})

        new = self._drains.update(drain_id, earlier, ring=True)
        log.warning("reclaim notice: a drain is under way", drain=drain_id, **_fields(notice))
        return new.state is not State.ENDED

    def _tell_late(self, notice: Notice) -> None:
        if notice.id not in self._late:
            log.warning("reclaim notice is too old: nothing is done", **_fields(notice))
        self._late.add(notice.id)


def notice_watch(redis: Redis, host: str, sources: Sequence[Source], drains: Drains) -> Repeating:
    """Looks for notices every two seconds, until it is stopped."""
    watcher = Watcher(redis, host, sources, drains)
    return Repeating("notices", watcher.look, every_seconds=LOOK_SECONDS)


def _fields(notice: Notice) -> dict[str, str]:
    """For the log; ``reason`` is the reason of a failure there."""
    return {
        "notice": notice.id,
        "source": notice.source,
        "until": notice.deadline.isoformat(),
        "why": notice.reason,
    }
