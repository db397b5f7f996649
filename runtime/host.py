"""The engine's process, and the host's files as it sees them, whatever namespaces lie between."""

from __future__ import annotations

import os
import socket as sockets
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # process, user and group id: unix(7), SO_PEERCRED
CONNECT_SECONDS = 5


def seen_by_engine(socket: str, path: str) -> Path | None:
    """Find the host's directory ``path``; None if it is out of sight.

    It is looked for through the process that listens on ``socket`` (the engine's service, or the
    init process that starts it), then where it would be if the host's files were ours. The path of
    a layer has a random id in it, so what is found is the right one.

    Every thread of it is tried: Podman unpacks archives in a thread that has changed its root for
    good, and where this was the first thread, the process's own root shows a container's files.
    """
    threads = sorted(Path(f"/proc/{listener(socket)}/task").glob("*/root"))
    for place in (*(root / path.lstrip("/") for root in threads), Path(path)):
        if os.access(place, os.R_OK | os.X_OK):
            return place
    return None


def file_of_engine(socket: str, path: str) -> Path | None:
    """Find the host's file ``path``, as ``seen_by_engine`` finds the directory that it is in."""
    directory, _, name = path.rpartition("/")
    seen = seen_by_engine(socket, directory) if name else None
    return seen / name if seen else None


def network_of_engine(socket: str) -> Path | None:
    """Find the network namespace of the process that listens on ``socket``; None if unseen.

    It is the one that most of its threads are in: Podman enters a container's in a thread of its
    own, and where that was the first thread, it never comes back.
    """
    places: dict[Path, Path] = {}
    for thread in sorted(Path(f"/proc/{listener(socket)}/task").glob("*/ns/net")):
        with suppress(OSError):  # it has ended meanwhile
            places[thread] = thread.readlink()
    most = {place for place, _ in Counter(places.values()).most_common(1)}
    return next((thread for thread, place in places.items() if place in most), None)


def listener(socket: str) -> int:
    """The process that listens on ``socket``, as our process ids go; 0 if it has none."""
    with sockets.socket(sockets.AF_UNIX) as connection:
        # The kernel's own limit: Python's would end at once where the engine's queue is full.
        seconds = struct.pack("@ll", CONNECT_SECONDS, 0)
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDTIMEO, seconds)
        try:
            connection.connect(socket)
            credentials = connection.getsockopt(
                sockets.SOL_SOCKET, sockets.SO_PEERCRED, _CREDENTIALS.size
            )
        except OSError:
            return 0
    process, _, _ = _CREDENTIALS.unpack(credentials)
    return int(process)
