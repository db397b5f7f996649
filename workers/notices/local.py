"""Notices from this machine itself: a file that appears, a command that succeeds."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tasks.models import now
from workers.notices.clock import parse_deadline
from workers.notices.models import Notice, SourceError, event_id

COMMAND_SECONDS = 5.0
CONTENT_MAX = 1 << 16  # characters
REASON_MAX = 200


class FileSource:
    """A file that appears. Seconds in it count from its modification."""

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    def look(self) -> Sequence[Notice]:
        """The notice in the file, if it is there and not empty. Raises SourceError."""
        try:
            with self._path.open(errors="replace") as file:
                content = file.read(CONTENT_MAX)
            changed = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SourceError(str(error)) from error
        if not content.strip():  # whoever made it has not written it yet
            return []
        deadline, reason = parse_content(content, changed)
        event = event_id(self.name, deadline.isoformat(), reason)
        return [Notice(source=self.name, deadline=deadline, reason=reason, id=event)]


class CommandSource:
    """A command with exit code 0. Seconds that it says count from when it first said so."""

    def __init__(self, command: str, clock: Callable[[], datetime] = now) -> None:
        self.name = f"command:{command}"
        self._words = shlex.split(command)
        self._clock = clock
        self._said = ""
        self._since = clock()

    def look(self) -> Sequence[Notice]:
        """The notice that the command tells, if it succeeds. Raises SourceError."""
        said = self._run()
        if said != self._said:
            self._said, self._since = said, self._clock()
        if not said:
            return []
        deadline, reason = parse_content(said, self._since)
        event = event_id(self.name, said)
        return [Notice(source=self.name, deadline=deadline, reason=reason, id=event)]

    def _run(self) -> str:
        try:
            done = subprocess.run(
                self._words,
                check=False,
                timeout=COMMAND_SECONDS,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(f"it did not end within {COMMAND_SECONDS:g} s") from None
        except OSError as error:
            raise SourceError(str(error)) from error
        if done.returncode:
            return ""
        return done.stdout[:CONTENT_MAX].decode(errors="replace").strip()


def parse_content(content: str, since: datetime) -> tuple[datetime, str]:
    """Deadline and reason: a time, seconds after ``since``, or JSON with both.

    Raises SourceError.
    """
    text = content.strip()
    if not text.startswith("{"):
        return parse_deadline(text, since), ""
    try:
        said = json.loads(text)
    except ValueError as error:
        raise SourceError(f"it is no JSON: {error}") from error
    if "deadline" not in said:
        raise SourceError("it has no deadline")
    reason = " ".join(str(said.get("reason", "")).split())[:REASON_MAX]
    return parse_deadline(str(said["deadline"]), since), reason
