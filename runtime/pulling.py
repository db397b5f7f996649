"""Reading the stream of an image pull."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.errors import ImageNotFoundError, PullFailedError, RuntimeEngineError
from runtime.protocols import OnProgress
from runtime.specs import PullProgress

# What registries and engines say when there is no such image (Distribution API's error codes).
_ABSENT = ("manifest unknown", "name unknown", "no such image", "not found", "did not resolve")


def read_pull(name: str, events: Iterable[Mapping[str, Any]], on_progress: OnProgress) -> None:
    """Hand on what the stream says. Raises ImageNotFoundError, PullFailedError."""
    for event in events:
        if "error" in event:
            raise pull_error(name, str(event["error"]))
        detail: Mapping[str, int] = event.get("progressDetail") or {}
        on_progress(
            PullProgress(
                layer=event.get("id") or "",
                status=event.get("status") or "",
                current_bytes=detail.get("current") or 0,
                total_bytes=detail.get("total") or 0,
            )
        )


def pull_error(name: str, reason: str) -> RuntimeEngineError:
    """Return the error that the engine's ``reason`` stands for."""
    absent = any(phrase in reason.lower() for phrase in _ABSENT)
    return ImageNotFoundError(name) if absent else PullFailedError(name, reason.strip())


def reference_parts(name: str) -> tuple[str, str]:
    """Split an image name for a pull; without a tag an engine would pull every one there is."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # that colon was of the registry's port
        return name, "latest"
    return repository, tag
