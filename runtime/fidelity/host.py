"""The host's files as the engine sees them, whatever namespaces lie between it and this process."""

from __future__ import annotations

import os
import socket as sockets
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # process, user and group id: unix(7), SO_PEERCRED
CONNECT_SECONDS = 5


def seen_by_engine(socket: str, path: str) -> Path | None:
    """Find the host's directory ``path`` through the process that listens on ``socket``.

    That is the engine's service, or the init process that starts it; None if it or its files are
    out of sight (the worker is not root, or is in a container without the host's processes).
    """
    with sockets.socket(sockets.AF_UNIX) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(socket)
            credentials = connection.getsockopt(
                sockets.SOL_SOCKET, sockets.SO_PEERCRED, _CREDENTIALS.size
            )
        except OSError:
            return None
    process, _, _ = _CREDENTIALS.unpack(credentials)
    found = Path(f"/proc/{process}/root") / path.lstrip("/")
    return found if process and os.access(found, os.R_OK | os.X_OK) else None
