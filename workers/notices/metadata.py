"""A cloud's metadata service, asked directly: no proxy, no redirect, little patience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from workers.notices.models import SourceError

METADATA_URL = "http://169.254.169.254"  # AWS, Azure, and Google's metadata.google.internal
TIMEOUT_SECONDS = 1.5
ANSWER_MAX = 1 << 18  # bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the service said."""

    status: int
    text: str


class MetadataService:
    """The service at ``url``, http://HOST[:PORT]. Raises ValueError for another kind of URL."""

    def __init__(self, url: str = METADATA_URL) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"it must be http://HOST[:PORT], not {url!r}")
        self._host, self._port = parts.hostname, parts.port or 80

    def get(self, path: str, headers: Mapping[str, str]) -> str:
        """The text at a path. Raises SourceError when there is none."""
        answer = self.ask("GET", path, headers)
        if answer.status != 200:
            raise refused(path, answer)
        return answer.text

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """One request, whatever the answer's status. Raises SourceError when there is no answer."""
        connection = HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            text = response.read(ANSWER_MAX).decode(errors="replace")
            return Answer(status=response.status, text=text)
        except (OSError, HTTPException, ValueError) as error:
            raise SourceError(f"no answer: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()


def refused(path: str, answer: Answer) -> SourceError:
    """The error for a status that nobody expects."""
    return SourceError(f"{path.partition('?')[0]} answered with status {answer.status}")
