"""Carry the image that no registry would serve, before anything is stopped."""

from __future__ import annotations

from runtime import ImageNotFoundError
from tasks.facts import WorkloadFacts, target_check, workload_facts
from tasks.models import Kind
from tasks.step import Result, Step
from tasks.units.engine import engine, image_present


def push_image(step: Step) -> Result:
    """Put the source's image into the store, when the target or a later restore will need it."""
    facts = workload_facts(step.workflow)
    if not _needed(step, facts) or step.context.archives.image(facts.image_id) is not None:
        return {"bytes": 0}
    with engine(step).save_image(facts.image) as chunks:
        stored = step.context.archives.write_image(
            facts.image_id, (facts.image,), chunks, progress=step.progress
        )
    return {"bytes": stored.archive.size}


def pull_image(step: Step) -> Result:
    """Load the image from the store, unless this very image is here already."""
    workflow = step.workflow
    if workflow.kind is Kind.MIGRATE:
        facts = workload_facts(workflow)
        return load_image(step, facts.image, facts.image_id)
    image = step.context.archives.manifest(workflow.checkpoint_id).image
    return load_image(step, image.name, image.id)


def load_image(step: Step, name: str, image_id: str) -> Result:
    """Make an image present under its name. Raises ImageNotFoundError when nobody has it."""
    runtime = engine(step)
    if image_present(runtime, name, image_id):
        return {"bytes": 0}
    stored = step.context.archives.image(image_id)
    if stored is None:
        raise ImageNotFoundError(name)
    runtime.load_image(step.read(stored.archive))
    if not image_present(runtime, name, image_id):
        raise ImageNotFoundError(f"{name} ({image_id[:12]})")
    return {"bytes": stored.archive.size}


def _needed(step: Step, facts: WorkloadFacts) -> bool:
    if step.workflow.kind is Kind.MIGRATE:
        return not target_check(step.workflow).image_present
    return not facts.image_from_registry
