"""What this engine gives a container that asks for nothing.

Podman's inspect does not tell a setting from a default (ulimits, process limit, size of /dev/shm,
log driver), and the defaults come from the host's containers.conf: they must not travel. REST has
no way to ask for them, so a container is made without options once, looked at, and removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.errors import RuntimeEngineError
from runtime.inspecting import bare_id, image_reference

PROBE_LABEL = "podferry.probe"


class EngineDefaults:
    """The HostConfig of a fresh container, found out when first needed and kept."""

    def __init__(self, make: Callable[[str], Mapping[str, Any]]) -> None:
        self._make = make
        self._found: Mapping[str, Any] | None = None

    def of(self, image: str) -> Mapping[str, Any] | None:
        """Return it, making the container from ``image`` (an id); None if that fails.

        Nothing that only looks at a container may fail because of this, a full disk say; the next
        call tries again.
        """
        if self._found is None:
            try:
                self._found = self._make(bare_id(image))["HostConfig"]
            except RuntimeEngineError:
                return None
        return self._found


def probe_body(image: str) -> dict[str, Any]:
    """Build the create call of the probe; its label tells what it was if it stays behind."""
    return {
        "Image": image_reference(image),
        "Cmd": ["true"],
        "Labels": {PROBE_LABEL: "defaults"},
    }
