"""Following a Docker-compatible engine: what containers write, and what happens on the host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from runtime.connection import EngineConnection
from runtime.errors import ContainerNotFoundError
from runtime.executing import demultiplex
from runtime.specs import EngineEvent
from runtime.streams import Stream

NANOSECONDS = 1_000_000_000


class DockerWatching(EngineConnection):
    """The streams of the standard surface."""

    def logs(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Stream[bytes]:
        """Stream what the container wrote, in the order it came; see Runtime.

        Raises ContainerNotFoundError at once.
        """
        on = {"no such container": ContainerNotFoundError(container)}
        with self._translating(f"inspect of {container!r}", on):
            tty = self._api.inspect_container(container)["Config"]["Tty"]
        params = {
            "stdout": 1,
            "stderr": 1,
            "tail": "all" if tail is None else tail,
            "since": _timestamp(since),
            "follow": int(follow),
        }
        chunks = self._stream("logs", f"/containers/{container}/logs", params=params, on=on)
        return chunks if tty else chunks.through(lambda raw: (c.data for c in demultiplex(raw)))

    def events(
        self, *, labels: Mapping[str, str] | None = None, since: datetime | None = None
    ) -> Stream[EngineEvent]:
        """Stream what happens on the host, until it is closed; see Runtime."""
        filters = {"label": [f"{name}={value}" for name, value in (labels or {}).items()]}
        params = {"filters": json.dumps(filters) if labels else None, "since": _timestamp(since)}
        return self._stream("events", "/events", params=params, on={}).through(_events)


def _events(chunks: Iterator[bytes]) -> Iterator[EngineEvent]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, map(bytes.strip, lines)):
            yield _event(json.loads(line))


def _event(entry: Mapping[str, Any]) -> EngineEvent:
    attributes: Mapping[str, str] = entry["Actor"].get("Attributes") or {}
    return EngineEvent(
        kind=entry["Type"],
        action=entry["Action"],
        id=entry["Actor"]["ID"],
        name=attributes.get("name", ""),
        attributes=dict(attributes),
        at=datetime.fromtimestamp(entry["timeNano"] / NANOSECONDS, UTC),
    )


def _timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.timestamp():.6f}"
