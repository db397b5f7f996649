"""What of a container a move cannot keep, told by name before anything is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from runtime.fidelity.collecting import upper_path

HOLES_FROM_BYTES = 1 << 20  # smaller ones are not worth a word
NAMED_AT_MOST = 10  # files with holes
_LOGS_IN_A_FILE = {"k8s-file", "json-file", "none"}  # Podman's export has the first two

See = Callable[[str], Path | None]  # a path of the host to where it can be read, if it can


def unkept(
    container: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]], see: See
) -> tuple[str, ...]:
    """Name what will not be as before; nothing of it keeps a move from working.

    ``container`` and its ``volumes`` are as libpod's inspect answers describe them.
    """
    return (
        *_binds(container),
        *_volumes(volumes),
        *_log(container),
        *_unseen(container, see),
        *_holes(container, volumes, see),
    )


def _binds(container: Mapping[str, Any]) -> Iterator[str]:
    for mount in container.get("Mounts") or ():
        if mount["Type"] == "bind":
            yield f"{mount['Destination']} is the host's own {mount['Source']}: its files stay here"


def _volumes(volumes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for volume in volumes:
        name, driver = volume["Name"], volume.get("Driver") or "local"
        if volume.get("Labels"):
            yield f"volume {name!r} loses its labels {', '.join(sorted(volume['Labels']))}"
        if volume.get("Options") or driver != "local":
            yield f"volume {name!r} becomes a plain local one, without its driver's options"


def _log(container: Mapping[str, Any]) -> Iterator[str]:
    driver = container["HostConfig"]["LogConfig"]["Type"]
    if driver not in _LOGS_IN_A_FILE:
        yield f"its log so far stays here: log driver {driver!r} does not keep it in a file"


def _unseen(container: Mapping[str, Any], see: See) -> Iterator[str]:
    place = upper_path(container)
    if not place or see(place) is None:
        yield (
            "of a directory of the image that changed in nothing else: its owner, attributes;"
            " of any file: access control lists (the worker cannot read the writable layer itself)"
        )


def _holes(
    container: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]], see: See
) -> Iterator[str]:
    places = {"/": upper_path(container)}
    mounts = {m["Name"]: m["Destination"] for m in container.get("Mounts") or () if m.get("Name")}
    places |= {mounts[v["Name"]]: v["Mountpoint"] for v in volumes if v["Name"] in mounts}
    found = [
        f"{PurePosixPath(inside) / name} has holes of {size >> 20} MiB, which will be filled"
        for inside, place in places.items()
        if place and (folder := see(place)) is not None
        for name, size in _sparse_files(folder)
    ]
    yield from found[:NAMED_AT_MOST]
    if len(found) > NAMED_AT_MOST:
        yield f"{len(found) - NAMED_AT_MOST} more files have holes, which will be filled"


def _sparse_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield paths relative to ``folder`` with the size of their holes; links are not followed."""
    for place, _, names, handle in os.fwalk(folder):
        for name in sorted(names):
            try:
                status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            except FileNotFoundError:  # the container runs
                continue
            holes = status.st_size - status.st_blocks * 512
            if stat.S_ISREG(status.st_mode) and holes >= HOLES_FROM_BYTES:
                yield str(Path(place).relative_to(folder) / name), holes
