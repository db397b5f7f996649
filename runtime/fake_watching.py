"""Following the fake engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from runtime.errors import UnsupportedOptionError
from runtime.fake_state import FakeState, faulty
from runtime.specs import ContainerState, EngineEvent
from runtime.streams import Stream

LOOK_SECONDS = 0.01

T = TypeVar("T")


class FakeWatching(FakeState):
    """Streams that look again and again at what tests put there."""

    @faulty
    def logs(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Stream[bytes]:
        """Stream the lines of ``log``, which have no times."""
        if since is not None:
            raise UnsupportedOptionError("since", "the fake's log has no times")
        found = self._find(container)
        lines = found.log.splitlines(keepends=True)
        skipped = 0 if tail is None else max(len(lines) - tail, 0)
        return _followed(
            lambda: found.log.splitlines(keepends=True),
            skipped,
            lambda: follow and found.state is ContainerState.RUNNING,
        )

    @faulty
    def events(
        self, *, labels: Mapping[str, str] | None = None, since: datetime | None = None
    ) -> Stream[EngineEvent]:
        """Stream ``history``."""

        def wanted() -> list[EngineEvent]:
            asked = (labels or {}).items()
            return [event for event in self.history if asked <= event.attributes.items()]

        skipped = len(wanted()) if since is None else sum(e.at < since for e in wanted())
        return _followed(wanted, skipped, lambda: True)


def _followed(look: Callable[[], list[T]], skipped: int, goes_on: Callable[[], bool]) -> Stream[T]:
    ended = threading.Event()

    def items() -> Iterator[T]:
        position = skipped
        while True:
            last = not goes_on()  # asked first: what came before the end is still to be seen
            found = look()
            yield from found[position:]
            position = len(found)
            if last or ended.wait(LOOK_SECONDS):
                return

    return Stream(items(), ended.set)
