"""``podferry dev``: everything on one machine, with redis-server as the only server."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.broker import connect
from tasks.errors import BrokerUnavailableError, InvalidRequestError
from workers.settings import (
    Settings,
    dev_state_dir,
    forget_dev_connection,
    save_dev_connection,
)
from workers.worker import run_worker

START_SECONDS = 10.0
SOCKET = "redis.sock"


def run_dev(settings: Settings) -> None:
    """Start a broker of our own and one worker for both roles; stop both on a signal.

    Raises InvalidRequestError when redis-server is not installed, another one runs here, or there
    is no socket.
    """
    state = dev_state_dir()
    _require_alone(state / SOCKET)
    if not Path(settings.socket).exists():
        raise InvalidRequestError(
            f"there is no Podman socket at {settings.socket}; "
            "start it (systemctl enable --now podman.socket), or say where it is: --socket PATH"
        )
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = settings.store_url or f"file://{state / 'store'}"
    with _redis(state) as redis_url:
        local = settings.model_copy(
            update={
                "redis_url": redis_url,
                "store_url": store,
                "host": settings.host or "local",
                "environment": "dev",
            }
        )
        save_dev_connection(redis_url, store)
        try:
            print(  # noqa: T201 - the one line a person waits for
                f"podferry dev: host {local.host!r} on {local.socket}, store {store}\n"
                "in another terminal: podferry ps; podferry checkpoint NAME; Ctrl-C ends it",
                flush=True,
            )
            run_worker(local, control=True)
        finally:
            forget_dev_connection()


def _require_alone(path: Path) -> None:
    if _answers(f"unix://{path}"):
        raise InvalidRequestError(f"another podferry dev is running (its Redis is at {path})")


@contextmanager
def _redis(state: Path) -> Iterator[str]:
    """A Redis on a unix socket in a directory that only this user may enter."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise InvalidRequestError(
            "redis-server is not installed; install it (Debian: apt install redis-server)"
        )
    path = state / SOCKET
    url = f"unix://{path}"
    command = [binary, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600"]
    command += ["--dir", str(state), "--appendonly", "yes", "--save", ""]
    command += ["--logfile", str(state / "redis.log")]
    # A session of its own: Ctrl-C is for the worker, which still needs its broker to stop.
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            _await(url, process)
            yield url
        finally:
            process.terminate()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit and process.poll() is None:
        if _answers(url):
            return
        time.sleep(0.05)
    raise BrokerUnavailableError(
        url, "the embedded redis-server did not start; see redis.log there"
    )


def _answers(url: str) -> bool:
    redis = connect(url, retries=0)
    try:
        return bool(redis.ping())
    except Exception:
        return False
    finally:
        redis.close()
