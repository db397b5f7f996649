"""Finding out, quickly, whether an engine listens."""

from __future__ import annotations

import socket

from runtime.errors import EngineUnavailableError
from runtime.translate import root_reason

CONNECT_SECONDS = 5


def require_engine(path: str) -> None:
    """Return if something accepts connections at ``path``; takes CONNECT_SECONDS at most.

    Raises EngineUnavailableError. Asked before each call because both client libraries leave
    their own socket open when a connection is refused.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(path)
        except OSError as error:
            raise EngineUnavailableError(path, root_reason(error)) from error
