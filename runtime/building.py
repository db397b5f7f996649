"""Reading the stream of an image build. Docker and Podman answer 200 even for a failed one."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from runtime.errors import BuildFailedError
from runtime.protocols import OnLog, OnStep, ignore_step
from runtime.specs import BuildStep

TAIL_LINES = 30
_IMAGE_ID = re.compile(r"^(?:sha256:)?([0-9a-f]{64})$")
# "STEP 2/4: RUN make" (Podman), "[1/2] STEP 2/4: …" (its builds of several stages), "Step 2/4 : …"
_STEP = re.compile(r"^(?:\[(\d+)/(\d+)\] )?(?:STEP|Step) (\d+)/(\d+) ?: (.*)$")


def read_build(
    image: str,
    events: Iterable[Mapping[str, Any]],
    on_log: OnLog,
    on_step: OnStep = ignore_step,
) -> str:
    """Hand on log lines and steps, and return the id of the image that was built.

    ``events`` are the stream's JSON objects: ``stream`` (text), ``aux.ID`` (Docker's id) or
    ``error``. Podman's id is the last line that is 64 hex digits and nothing else.
    Raises BuildFailedError with the failing step and the last TAIL_LINES lines.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    image_id, step = "", ""
    for event in events:
        if "error" in event:
            raise BuildFailedError(image, str(event["error"]).strip(), tuple(tail), step)
        if found := _IMAGE_ID.match(str((event.get("aux") or {}).get("ID", ""))):
            image_id = found[1]
        for line in filter(str.strip, str(event.get("stream", "")).splitlines()):
            tail.append(line)
            on_log(line)
            if reached := build_step(line):
                step = f"{reached.number}/{reached.total}: {reached.instruction}"
                on_step(reached)
            if found := _IMAGE_ID.match(line):
                image_id = found[1]
    if not image_id:
        reason = "the build's log ended without an image id"
        raise BuildFailedError(image, reason, tuple(tail), step)
    return image_id


def build_step(line: str) -> BuildStep | None:
    """Read the line that announces a step; None for any other."""
    found = _STEP.match(line)
    if found is None:
        return None
    stage, stages, number, total, instruction = found.groups()
    return BuildStep(
        stage=int(stage or 1),
        stages=int(stages or 1),
        number=int(number),
        total=int(total),
        instruction=instruction,
    )
