"""Reading the stream of an image build. Docker and Podman answer 200 even for a failed one."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from runtime.errors import BuildFailedError
from runtime.protocols import OnLog

TAIL_LINES = 30
_IMAGE_ID = re.compile(r"^(?:sha256:)?([0-9a-f]{64})$")


def read_build(image: str, events: Iterable[Mapping[str, Any]], on_log: OnLog) -> str:
    """Feed log lines to ``on_log`` and return the id of the image that was built.

    ``events`` are the stream's JSON objects: ``stream`` (text), ``aux.ID`` (Docker's id) or
    ``error``. Podman's id is the last line that is 64 hex digits and nothing else.
    Raises BuildFailedError with the last TAIL_LINES lines.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    image_id = ""
    for event in events:
        if "error" in event:
            raise BuildFailedError(image, str(event["error"]).strip(), tuple(tail))
        if found := _IMAGE_ID.match(str((event.get("aux") or {}).get("ID", ""))):
            image_id = found[1]
        for line in str(event.get("stream", "")).splitlines():
            if not line.strip():
                continue
            tail.append(line)
            on_log(line)
            if found := _IMAGE_ID.match(line):
                image_id = found[1]
    if not image_id:
        raise BuildFailedError(image, "the build's log ended without an image id", tuple(tail))
    return image_id
