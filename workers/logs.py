"""Logging: structured lines on standard error, Celery's own among them.

What is written while a step runs carries its workflow, unit and host, whichever library writes it,
and goes to Redis too, where ``podferry logs`` finds it. No line has a secret of the settings in it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import BaseModel, SecretStr
from redis.exceptions import RedisError

from tasks.lines import Lines, LogLine

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "***"
PAUSE_SECONDS = 5.0
MESSAGE_MAX = 4_000  # characters of a message that are kept in Redis
_URL_PASSWORD = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*(?=@)")
_SECRET_FIELD = re.compile(r"(?i)(^|_)(password|passwd|secret|token|authorization|private_key)$")


def configure_logging(level: str, *also: Processor) -> None:
    """Send every log line of this process to standard error, one JSON object each.

    ``also`` are given each line before it is written: first what hides, then what keeps.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(["workflow", "reason"]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *also,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def secrets_of(settings: BaseModel) -> set[str]:
    """Every secret in some settings: those that say so, and the passwords of URLs."""
    found = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.add(value.get_secret_value())
        elif isinstance(value, str) and "://" in value:
            password = urlsplit(value).password or ""
            found |= {password, unquote(password)}
    return found - {""}


class Hide:
    """Replaces secrets wherever they are in a line, and what is called one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # the longest first: one may be a part of another
        words = sorted(map(re.escape, secrets), key=len, reverse=True)
        self._secrets = re.compile("|".join(words)) if words else None

    def __call__(self, _: WrappedLogger, __: str, line: EventDict) -> EventDict:
        """The line without them."""
        return {key: self._clean(key, value) for key, value in line.items()}

    def _clean(self, key: str, value: object) -> object:
        if _SECRET_FIELD.search(key):
            return HIDDEN
        if isinstance(value, dict):
            return {k: self._clean(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean("", one) for one in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        text = _URL_PASSWORD.sub(HIDDEN, str(value))
        return self._secrets.sub(HIDDEN, text) if self._secrets else text


class Keep:
    """Copies the lines of workflows to Redis. Where that fails, it pauses: no step waits for it."""

    def __init__(self, lines: Lines, host: str) -> None:
        self._lines = lines
        self._host = host
        self._again = 0.0

    def __call__(self, _: WrappedLogger, __: str, line: EventDict) -> EventDict:
        """The line, as it was."""
        workflow = line.get("workflow")
        if isinstance(workflow, str) and time.monotonic() >= self._again:
            try:
                self._lines.add(workflow, self._line(line))
            except RedisError:
                self._again = time.monotonic() + PAUSE_SECONDS
        return line

    def _line(self, line: EventDict) -> LogLine:
        rest = {k: v for k, v in line.items() if k not in {"workflow", *_NAMED}}
        return LogLine(
            time=datetime.fromisoformat(line["timestamp"]),
            level=line["level"],
            message=str(line["event"])[:MESSAGE_MAX],
            host=self._host,
            unit=str(line.get("unit", "")),
            fields=json.loads(json.dumps(rest, default=str)),
        )


_NAMED = ("timestamp", "level", "event", "host", "unit")
