"""What Podman means when it refuses to restore an archive: its 500s differ in words only."""

from __future__ import annotations

import re

from runtime.errors import (
    AddressTakenError,
    ContainerExistsError,
    ImageNotFoundError,
    RestoreFailedError,
    RuntimeEngineError,
)

# Podman 5.4 pulls an image whose name it does not have, so the first two say that it has none; the
# third comes when another image has the name.
_NO_IMAGE = (
    re.compile(r"initializing source docker://(\S+): "),
    re.compile(r'short-name "([^"]+)" did not resolve'),
    re.compile(r'locating image with ID "([0-9a-f]+)": image not known'),
)
_NAME_IN_USE = re.compile(r'container name "([^"]+)" is already in use')
_ID_IN_USE = "that ID is already in use"
_ADDRESS_IN_USE = re.compile(r"requested ip address \S+ is already allocated")


def restore_error(archive: str, reason: str) -> RuntimeEngineError:
    """Return the error that the engine's ``reason`` stands for; RestoreFailedError if none does.

    Podman does not say which id is in use; ContainerExistsError then carries the archive's name.
    """
    for missing in _NO_IMAGE:
        if found := missing.search(reason):
            return ImageNotFoundError(found[1])
    if found := _NAME_IN_USE.search(reason):
        return ContainerExistsError(found[1])
    if _ID_IN_USE in reason:
        return ContainerExistsError(archive)
    if _ADDRESS_IN_USE.search(reason):
        return AddressTakenError(archive, reason)
    return RestoreFailedError(archive, reason)
