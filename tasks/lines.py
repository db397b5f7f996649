"""The log lines of a workflow, from all workers, in Redis: a copy of what they write themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from pydantic import AwareDatetime, Field, JsonValue

from tasks.models import Model

if TYPE_CHECKING:
    from redis import Redis

LINES_MAX = 2_000  # of a workflow: what is older goes
WAIT_SECONDS = 0.5
LAST_SECONDS = 0.2  # how long a last line may be behind the end of its workflow


class LogLine(Model):
    """One line. ``host`` is the worker's, empty of a control worker; ``fields`` what else it says.

    ``unit`` is empty where no step ran.
    """

    time: AwareDatetime
    level: str
    message: str
    host: str = ""
    unit: str = ""
    fields: dict[str, JsonValue] = Field(default_factory=dict)


class Lines:
    """The lines of one installation's workflows: the stream ``podferry:lines:ID`` of each.

    They expire when nothing was written for as long as ``keep``.
    """

    def __init__(self, redis: Redis, *, keep: timedelta) -> None:
        self._redis = redis
        self._keep = keep

    def add(self, workflow_id: str, line: LogLine) -> None:
        """Append a line. Raises RedisError."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(
                _key(workflow_id),
                {"line": line.model_dump_json()},
                maxlen=LINES_MAX,
                approximate=True,
            )
            pipe.expire(_key(workflow_id), self._keep)
            pipe.execute()

    def sorted(self, workflow_id: str) -> list[LogLine]:
        """The lines so far, by time. The clocks are the workers' own."""
        return sorted((line for _, line in self._read(workflow_id)), key=lambda line: line.time)

    def follow(self, workflow_id: str, ended: Callable[[], bool]) -> Iterator[LogLine]:
        """All lines as they come, until there are no more of a workflow that has ``ended``."""
        position, over = "0", False
        while True:
            wait = LAST_SECONDS if over else WAIT_SECONDS
            batch = self._read(workflow_id, after=position, wait_seconds=wait)
            for at, line in batch:
                position = at
                yield line
            if over and not batch:
                return
            over = over or ended()

    def _read(
        self, workflow_id: str, *, after: str = "0", wait_seconds: float = 0
    ) -> list[tuple[str, LogLine]]:
        """Lines after a position, each with its own; waits once for the first of them."""
        block = max(1, int(wait_seconds * 1000))
        answer = self._redis.xread({_key(workflow_id): after}, block=block)
        streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer or [])
        return [
            (position.decode(), LogLine.model_validate_json(fields[b"line"]))
            for _, entries in streams
            for position, fields in entries
        ]


def _key(workflow_id: str) -> str:
    return f"podferry:lines:{workflow_id}"
