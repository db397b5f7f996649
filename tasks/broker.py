"""The connection to Redis, with its errors turned into ours in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError
from redis.retry import Retry

from tasks.errors import BrokerUnavailableError, InvalidRequestError

if TYPE_CHECKING:
    from redis.client import Pipeline

CONNECT_SECONDS = 5
REPLY_SECONDS = 30


def connect(url: str, *, retries: int = 3) -> Redis:
    """A client for ``redis://``, ``rediss://`` or ``unix://``; connects at its first command."""
    if not url:
        raise InvalidRequestError(
            "no broker is configured; set PODFERRY_REDIS_URL, pass --redis, "
            "or run everything on this machine with: podferry dev"
        )
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise InvalidRequestError(
            f"Redis URL {safe_url(url)!r} is not redis://HOST:PORT/0, rediss://… or unix:///PATH"
        )
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=REPLY_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        health_check_interval=15,
        retry=Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), retries),
    )


def with_ca(url: str, ca_file: Path) -> str:
    """The URL of a server whose certificate comes from an authority in this PEM file."""
    return _with_option(url, "ssl_ca_certs", str(ca_file))


def celery_url(url: str) -> str:
    """The same server in Celery's spelling.

    It says ``redis+socket://`` for a unix socket, and wants to be told that it has to look at
    certificates.
    """
    if url.startswith("rediss://"):
        return _with_option(url, "ssl_cert_reqs", "required")
    return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url


def _with_option(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    options = parse_qs(parts.query) | {name: [value]}
    return parts._replace(query=urlencode(options, doseq=True)).geturl()


def safe_url(url: str) -> str:
    """A URL without its user, password and options, fit to be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@contextmanager
def broker_errors(url: str) -> Iterator[None]:
    """Raise BrokerUnavailableError where the Redis client would raise its own."""
    try:
        yield
    except AuthenticationError as error:
        raise BrokerUnavailableError(safe_url(url), "wrong user or password") from error
    except (ConnectionError, TimeoutError) as error:
        raise BrokerUnavailableError(safe_url(url), str(error) or type(error).__name__) from error


def watch(pipe: Pipeline, *keys: str) -> None:
    """Have a transaction fail if somebody changes a key before it ends (compare-and-set)."""
    pipe.watch(*keys)  # type: ignore[no-untyped-call] # the client library leaves it untyped
