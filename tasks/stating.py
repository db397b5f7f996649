"""Reading the records of workflows together with what hosts state about them, from Redis."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tasks.broker import watch
from tasks.errors import UnreadableRecordError
from tasks.models import State, Workflow
from tasks.statements import Statement, composed, speakers
from tasks.stored import load

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

REMEMBERED = 10_000
_logger = logging.getLogger(__name__)  # structlog would slow every command down


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record, what hosts state about it, and the workflow that both together are."""

    record: Workflow
    said: Mapping[str, Statement]
    workflow: Workflow

    @property
    def unsettled(self) -> bool:
        """Whether a host has ended it, and nobody has put that into the record yet."""
        ended = State.ENDED
        return self.workflow.state is ended and self.record.state is not ended


def record_key(workflow_id: str) -> str:
    """The key of a record."""
    return f"podferry:workflow:{workflow_id}"


def statement_key(host: str, workflow_id: str) -> str:
    """The key of what a host states about a workflow."""
    return f"podferry:stated:{host}:{workflow_id}"


class Reader:
    """Reads records; remembers whose statements belong to which, to ask for all of it at once."""

    def __init__(self) -> None:
        self._speakers: dict[str, tuple[str, ...]] = {}
        self._told: set[tuple[str, str, int]] = set()

    def read(
        self, redis: Redis, ids: Sequence[str], *, watching: Pipeline | None = None
    ) -> dict[str, Stored | UnreadableRecordError]:
        """Those of these that there are, each as of one moment; or why one cannot be read.

        With ``watching``, its transaction fails if any of them is changed before that ends.
        """
        found: dict[str, Stored | UnreadableRecordError] = {}
        left = list(ids)
        while left:
            asked = [(i, self._speakers.get(i, ())) for i in left]
            keys = [[record_key(i), *(statement_key(h, i) for h in hosts)] for i, hosts in asked]
            flat = [key for some in keys for key in some]
            if watching is not None:
                watch(watching, *flat)
            values = iter(cast("list[bytes | None]", redis.mget(flat)))
            left = []
            for workflow_id, hosts in asked:
                value, said = next(values), {host: next(values) for host in hosts}
                if value is None:
                    continue
                one = self._one(workflow_id, value, said)
                if one is None:
                    left.append(workflow_id)
                else:
                    found[workflow_id] = one
        return found

    def _one(
        self, workflow_id: str, value: bytes, said: Mapping[str, bytes | None]
    ) -> Stored | UnreadableRecordError | None:
        """A workflow; None if the statements of other hosts have to be asked for as well."""
        try:
            return self._put_together(workflow_id, value, said)
        except UnreadableRecordError as error:
            return error

    def _put_together(
        self, workflow_id: str, value: bytes, said: Mapping[str, bytes | None]
    ) -> Stored | None:
        record = load(Workflow, workflow_id, value)
        hosts = speakers(record)
        if record.state is not State.ENDED and said.keys() != set(hosts):
            if len(self._speakers) >= REMEMBERED:
                self._speakers.clear()
            self._speakers[workflow_id] = hosts
            if not said.keys() >= set(hosts):
                return None
        statements = {
            host: load(Statement, f"{host} of {workflow_id}", text)
            for host, text in said.items()
            if text is not None and host in hosts
        }
        workflow, refused = composed(record, statements)
        for host, reasons in refused.items():
            self.tell(record, host, reasons[0])
        return Stored(record=record, said=statements, workflow=workflow)

    def tell(self, record: Workflow, host: str, reason: str) -> None:
        """Log that something of a host was refused; once for each record."""
        about = (record.id, host, record.fence)
        if about in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add(about)
        _logger.error(
            "refused what host %s states: %s",
            host,
            reason,
            extra={"workflow": record.id, "reason": f"{host}: {reason}"},
        )
