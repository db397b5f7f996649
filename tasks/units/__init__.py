"""The units of work, one function each: they take the step they hold and return its result.

A unit talks to one engine and the archive store. It knows nothing of Celery.
"""

from __future__ import annotations

from collections.abc import Callable

from tasks.models import Unit
from tasks.step import Result, Step
from tasks.units.build import build
from tasks.units.checkpoint import checkpoint, resume
from tasks.units.cold import stop
from tasks.units.images import pull_image, push_image
from tasks.units.preflight import describe, preflight
from tasks.units.preseed import prefetch, preseed
from tasks.units.remove import discard, finish
from tasks.units.restore import restore
from tasks.units.up import up

__all__ = ["UNITS"]

UNITS: dict[Unit, Callable[[Step], Result]] = {
    Unit.DESCRIBE: describe,
    Unit.PREFLIGHT: preflight,
    Unit.PUSH_IMAGE: push_image,
    Unit.PULL_IMAGE: pull_image,
    Unit.PRESEED: preseed,
    Unit.PREFETCH: prefetch,
    Unit.CHECKPOINT: checkpoint,
    Unit.RESTORE: restore,
    Unit.FINISH: finish,
    Unit.UP: up,
    Unit.DISCARD: discard,
    Unit.RESUME: resume,
    Unit.BUILD: build,
    Unit.STOP: stop,
}
