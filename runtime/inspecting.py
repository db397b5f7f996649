"""The engine's JSON answers -> our records. Pure.

Shapes are those of the Docker Engine API as Docker and Podman 5.4 fill them in; libpod's inspect
answer is nearly the same and is read by the same functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.deriving import run_spec
from runtime.specs import ContainerInfo, ContainerState, ContainerSummary, ImageInfo

LOCAL_REGISTRY = "localhost/"  # what Podman puts before the name of an image built here
_BARE_ID = re.compile(r"^[0-9a-f]{64}$")

_STATES = {
    "created": ContainerState.CREATED,
    "configured": ContainerState.CREATED,  # libpod's word for it
    "initialized": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "paused": ContainerState.PAUSED,
    "exited": ContainerState.EXITED,
    "stopped": ContainerState.EXITED,
}


def container_info(
    container: Mapping[str, Any], fresh: Mapping[str, Any] | None = None
) -> ContainerInfo:
    """Read ``GET /containers/{id}/json``; for ``fresh`` see RunSpec.from_inspect."""
    state, spec = container["State"], run_spec(container, fresh)
    return ContainerInfo(
        id=container["Id"],
        name=spec.name,
        image=spec.image,
        image_id=bare_id(container["Image"]),
        state=container_state(state["Status"]),
        pid=state.get("Pid", 0) if state["Running"] else 0,  # Podman keeps a checkpointed one's
        exit_code=state.get("ExitCode", 0),
        auto_remove=container["HostConfig"].get("AutoRemove", False),
        checkpointed=state.get("Checkpointed", False),
        dependencies=tuple(container.get("Dependencies") or ()),
        pod=container.get("Pod") or "",
        spec=spec,
    )


def container_summary(entry: Mapping[str, Any]) -> ContainerSummary:
    """Read one entry of ``GET /containers/json``, Docker's or libpod's, which knows pods."""
    return ContainerSummary(
        id=entry["Id"],
        name=entry["Names"][0].removeprefix("/"),
        image=entry["Image"],
        state=container_state(entry["State"]),
        labels=entry.get("Labels") or {},
        pod=entry.get("PodName") or "",
        infra=bool(entry.get("IsInfra")),
    )


def container_state(status: str) -> ContainerState:
    """Map an engine's word for a state to ours."""
    return _STATES.get(status, ContainerState.OTHER)


def image_info(image: Mapping[str, Any]) -> ImageInfo:
    """Read ``GET /images/{name}/json``, or one entry of ``GET /images/json``."""
    digests: Sequence[str] = image.get("RepoDigests") or ()
    return ImageInfo(
        id=bare_id(image["Id"]),
        names=tuple(name for name in image.get("RepoTags") or () if name != "<none>:<none>"),
        size_bytes=image["Size"],
        from_registry=any(not digest.startswith(LOCAL_REGISTRY) for digest in digests),
        labels=(image.get("Config") or image).get("Labels") or {},
        architecture=image.get("Architecture") or "",
    )


def label_filter(labels: Mapping[str, str]) -> list[str]:
    """Spell a label filter; an empty one would match everything and raises ValueError."""
    if not labels:
        raise ValueError("an empty label filter would match everything")
    return [f"{name}={value}" for name, value in labels.items()]


def bare_id(identifier: str) -> str:
    """Return an image id without its "sha256:"."""
    return identifier.removeprefix("sha256:")


def image_reference(name: str) -> str:
    """Spell an image for a request: Podman takes a bare id that it does not know for a bad name."""
    return f"sha256:{name}" if _BARE_ID.match(name) else name
