"""Carry the images that no registry would serve, before anything is stopped."""

from __future__ import annotations

from runtime import CheckpointRuntime, ImageNotFoundError, PullFailedError
from tasks.facts import MemberFacts, source_facts, target_check
from tasks.models import Kind
from tasks.step import Result, Step
from tasks.units.engine import engine, image_present
from tasks.units.members import manifests


def push_image(step: Step) -> Result:
    """Put the source's images into the store, when the target or a later restore needs them."""
    members = source_facts(step.workflow).members
    return {"bytes": sum(_pushed(step, member) for member in members if _needed(step, member))}


def pull_image(step: Step) -> Result:
    """Load the images from the store that are not here already."""
    workflow = step.workflow
    if workflow.kind is Kind.MIGRATE:
        containers = [member.container for member in source_facts(workflow).members]
        images = [(container.image, container.image_id) for container in containers]
    else:
        images = [(found.image.name, found.image.id) for found in manifests(step)]
    return {"bytes": sum(load_image(step, *image) for image in dict.fromkeys(images))}


def load_image(step: Step, name: str, image_id: str) -> int:
    """Make an image present under its name; return the bytes that came for it from the store.

    A checkpoint's image that its source could have pulled again is not in the store: it is pulled.
    Raises ImageNotFoundError when nobody has it.
    """
    runtime = engine(step)
    if image_present(runtime, name, image_id):
        return 0
    stored = step.context.archives.image(image_id)
    if stored is None and step.workflow.kind is not Kind.RESTORE:
        raise ImageNotFoundError(name)
    if stored is None:
        _pull(runtime, name)
    else:
        runtime.load_image(step.read(stored.archive))
    if not image_present(runtime, name, image_id):
        raise ImageNotFoundError(f"{name} ({image_id[:12]})")
    return stored.archive.size if stored else 0


def _pull(runtime: CheckpointRuntime, name: str) -> None:
    try:
        runtime.pull(name)
    except PullFailedError as error:
        raise ImageNotFoundError(name) from error


def _pushed(step: Step, member: MemberFacts) -> int:
    archives, image = step.context.archives, member.container
    if archives.image(image.image_id) is not None:
        return 0
    with engine(step).save_image(image.image) as chunks:
        stored = archives.write_image(
            image.image_id, (image.image,), chunks, progress=step.progress
        )
    return stored.archive.size


def _needed(step: Step, member: MemberFacts) -> bool:
    if step.workflow.kind is Kind.MIGRATE:
        return not target_check(step.workflow).of(member.name).image_present
    return not member.image_from_registry
