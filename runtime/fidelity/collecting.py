"""Reads a stopped container's layer from where it can be seen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from runtime.fidelity.layer import Entry, Kind, Whiteout, exported, written
from runtime.fidelity.rewrite import Layer
from runtime.fidelity.tarstream import TarStream
from runtime.fidelity.upper import NotAllHereError, UpperDirectory
from runtime.host import seen_by_engine
from runtime.libpod import LibpodClient


@contextmanager
def layer_of(libpod: LibpodClient, container: Mapping[str, Any]) -> Iterator[Layer]:
    """Read a stopped container's layer into a temporary file, gone with the context.

    ``container`` is libpod's inspect answer. The layer must lie still: call this between the dump
    and a restore in place. From the host's files it takes as long as the layer is large; an export,
    the other way, as long as the image is large.
    """
    with tempfile.TemporaryFile(dir=temporary_directory()) as entries:
        yield _read(libpod, container, entries)


def temporary_directory() -> str:
    """Where files that may be large are put for a while: as Podman does, for /tmp is memory."""
    return os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108 - the files have no names


def _read(libpod: LibpodClient, container: Mapping[str, Any], entries: IO[bytes]) -> Layer:
    if upper := upper_directory(libpod, container):
        with suppress(NotAllHereError):
            return written(upper.entries(), entries)
        entries.seek(0)
        entries.truncate()
    return written(_export(libpod, str(container["Id"])), entries)


def require_readable(libpod: LibpodClient, container: Mapping[str, Any]) -> None:
    """Raise EngineError if ``layer_of`` could not read the layer once the process is stopped."""
    if upper_directory(libpod, container) is None:
        _changes(libpod, str(container["Id"]))


def upper_directory(libpod: LibpodClient, container: Mapping[str, Any]) -> UpperDirectory | None:
    """Find a container's layer in the host's files; None if it is out of sight."""
    place = upper_path(container)
    found = seen_by_engine(libpod.socket, place) if place else None
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


def _export(libpod: LibpodClient, container: str) -> Iterator[Entry | Whiteout]:
    operation, changes = f"export of {container!r}", _changes(libpod, container)
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
