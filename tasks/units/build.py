"""Build an image on a host, from a context that waits in the store."""

from __future__ import annotations

from runtime import BuildSpec
from storage import Archive
from tasks.models import Model
from tasks.step import Result, Step
from tasks.stored import load
from tasks.units.engine import engine


class BuildRequest(Model, extra="forbid"):
    """The payload of a build: its spec, and where its context lies in the store."""

    spec: BuildSpec
    context: Archive


def build(step: Step) -> Result:
    """Build; every log line becomes an event. The context is removed from the store after it."""
    request = load(BuildRequest, step.workflow.id, step.context.records.payload(step.workflow.id))
    archives = step.context.archives
    try:
        chunks = map(bytes, archives.read(request.context))
        image = engine(step).build(request.spec, chunks, on_log=step.log)
    finally:
        archives.delete(request.context)
    return {"image": request.spec.tag, "image_id": image.id}
