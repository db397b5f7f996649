"""Make sure that a machine is off, by a command that somebody configured for that."""

from __future__ import annotations

import shlex
import subprocess

from tasks.errors import FenceFailedError

SAID_MAX = 200  # characters of what a command says that are told on


def fence(host: str, command: str, *, timeout_seconds: float) -> None:
    """Run ``command HOST``; return when its exit code says that the host is off now.

    Raises FenceFailedError for any other exit code, when it takes too long or cannot be run.
    """
    try:
        words = [*shlex.split(command), host]
        done = subprocess.run(
            words,
            check=False,
            timeout=timeout_seconds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        reason = f"it did not end within {timeout_seconds:g} s"
        raise FenceFailedError(host, reason) from None
    except (OSError, ValueError) as error:
        raise FenceFailedError(host, str(error)) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-SAID_MAX:]
        reason = f"it exited with code {done.returncode}{': ' if said else ''}{said}"
        raise FenceFailedError(host, reason)
