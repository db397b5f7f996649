"""Flower, set up for this installation: it remembers, only reads, and shows what people can read.

It knows no logins of its own here: it listens on loopback, or on a unix socket for a proxy that
asks who it is (ops/flower/nginx.conf).
"""

from __future__ import annotations

import ast
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from flower.options import options

from tasks.broker import broker_errors, celery_url, connect
from workers.secure import require_secure
from workers.settings import Settings

if TYPE_CHECKING:
    from celery.events.state import Task

SAVE_MILLISECONDS = 10_000
COLUMNS = "name,kwargs,state,result,received,runtime,worker,uuid"
PLAIN = (bool, int, float, str)
SHOWN = {"FAILURE", "RETRY"}  # states whose exception is what people want to know


def run_flower(settings: Settings, *, port: int, unix_socket: Path | None, state: Path) -> None:
    """Serve until a signal; ``state`` is the file that it remembers tasks in.

    Raises BrokerUnavailableError when Redis cannot be reached to begin with.
    """
    require_secure(settings)
    with broker_errors(settings.redis_url):
        connect(settings.redis_url).ping()
    state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = celery_url(settings.redis_url)
    words = ["--read_only", "--enable_events=false", f"--tasks_columns={COLUMNS}"]
    words += ["--persistent", f"--db={state}", f"--state_save_interval={SAVE_MILLISECONDS}"]
    if unix_socket is None:
        words += ["--address=127.0.0.1", f"--port={port}"]
    else:
        # Behind the proxy its API answers without a login of its own.
        os.environ["FLOWER_UNAUTHENTICATED_API"] = "true"
        words.append(f"--unix_socket={unix_socket}")
    options.format_task = readable
    Celery("podferry", broker=url, backend=url).start(["flower", *words])


def readable(task: Task) -> Task:
    """The task as people read it: what it is about, how far it is, why it failed."""
    about, result = _record(task.kwargs), _record(task.result)
    if "workflow_id" in about:
        plan = f", plan {about['epoch']}" if about.get("epoch", 1) > 1 else ""
        step = f", step {about['step'] + 1}" if "step" in about else ""
        task.kwargs = f"{about['workflow_id']}{step}{plan}"
    if task.state in SHOWN:
        task.result = task.exception = _reason(task.exception)
    elif task.state == "PROGRESS" and "bytes" in result:
        task.result = f"{_told('bytes', result['bytes'])} so far"
    elif task.result is not None:
        task.result = ", ".join(_told(*it) for it in result.items() if isinstance(it[1], PLAIN))
    return task


def _told(name: str, value: float | str) -> str:
    """One part of a result; the parts that are records are for the whole record's readers."""
    if name.endswith("bytes"):
        words = [f"{float(value) / 2**20:.1f} MiB", name.removesuffix("bytes").strip("_")]
    else:
        words = [name.replace("_", " "), str(value)]
    return " ".join(words).strip()


def _reason(exception: str | None) -> str:
    """The message of an exception whose repr an event carried."""
    name, _, arguments = (exception or "").partition("(")
    try:
        message = ast.literal_eval(arguments.removesuffix(")").rstrip(","))
    except (ValueError, SyntaxError):
        return exception or ""
    return message if isinstance(message, str) else f"{name}: {message}"


def _record(text: str | None) -> dict[str, Any]:
    """A dict that an event carried as its repr; nothing where it was cut short."""
    with suppress(ValueError, SyntaxError, TypeError):
        record = ast.literal_eval(text or "")
        if isinstance(record, dict):
            return record
    return {}
