"""Collects what Podman's tar of a stopped container's layer lacks, from where it can be seen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from runtime.fidelity.host import seen_by_engine
from runtime.fidelity.layer import Entry, Kind, collect, exported
from runtime.fidelity.rewrite import Supplement
from runtime.fidelity.tarstream import TarStream
from runtime.fidelity.upper import UpperDirectory
from runtime.libpod import LibpodClient


@contextmanager
def supplement(
    libpod: LibpodClient, socket: str, container: Mapping[str, Any]
) -> Iterator[Supplement]:
    """Read a stopped container's layer into a temporary file, gone with the context.

    ``container`` is libpod's inspect answer. The layer must lie still: call this between the dump
    and a restore in place. What Podman's own tar has is read over, so the time and the disk that
    it takes follow what changed of the image, not what was added.
    """
    identity = str(container["Id"])
    upper = upper_directory(libpod, socket, container)
    with tempfile.TemporaryFile(prefix="podferry-layer-") as tail:
        changes = _changes(libpod, identity)
        if upper is not None:
            yield collect(upper.entries(), changes, tail)
        elif set(changes.values()) <= {Kind.ADDED}:
            yield collect((), changes, tail)  # an export would read the whole image for nothing
        else:
            yield collect(_export(libpod, identity, changes), changes, tail)


def upper_directory(
    libpod: LibpodClient, socket: str, container: Mapping[str, Any]
) -> UpperDirectory | None:
    """Find a container's layer in the host's files; None if it is out of sight."""
    place = upper_path(container)
    found = seen_by_engine(socket, place) if place else None
    if found is None:
        return None
    return UpperDirectory(found, lambda path: _content(libpod, str(container["Id"]), path))


def upper_path(container: Mapping[str, Any]) -> str:
    """Where overlayfs keeps the layer on the host; empty with another storage driver."""
    driver = container.get("GraphDriver") or {}
    return str((driver.get("Data") or {}).get("UpperDir") or "")


def _changes(libpod: LibpodClient, container: str) -> dict[str, Kind]:
    operation = f"changes of {container!r}"
    with libpod.request("GET", f"/containers/{container}/changes", operation=operation) as answer:
        listed = libpod.parsed(answer, operation)
    return {change["Path"]: Kind(change["Kind"]) for change in listed or ()}


def _export(libpod: LibpodClient, container: str, changes: Mapping[str, Kind]) -> Iterator[Entry]:
    operation = f"export of {container!r}"
    with libpod.request("GET", f"/containers/{container}/export", operation=operation) as answer:
        yield from exported(libpod.chunks(answer, operation), changes)


def _content(libpod: LibpodClient, container: str, path: str) -> Iterator[bytes]:
    """Read one file through the container's mounted root."""
    operation, params = f"archive of {path!r}", {"path": path}
    url = f"/containers/{container}/archive"
    with libpod.request("GET", url, operation=operation, params=params) as answer:
        archive = TarStream(libpod.chunks(answer, operation))
        if member := archive.next():
            yield from archive.content(member)
