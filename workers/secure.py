"""Settings that would let somebody in, refused where they do not say that this is a try-out."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tasks.errors import InsecureSettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.settings import Settings


UNSIGNED = "and whoever writes to a queue has it run; make a pair: podferry keys signing DIR"


def require_secure(settings: Settings) -> None:
    """Return if nobody else gets in by these settings, or in ``dev``. Raises InsecureSettingError.

    What stays on this machine need not be encrypted.
    """
    if settings.environment == "production":
        for setting, reason in _insecure(settings):
            raise InsecureSettingError(setting, reason)


def require_signing(settings: Settings, *, control: bool) -> None:
    """Return if a worker can tell by whom a message was sent. Raises InsecureSettingError."""
    if settings.environment == "dev":
        return
    if control and settings.signing_key_file is None:
        raise InsecureSettingError("signing_key_file", f"it is not set, {UNSIGNED}")
    if not control and settings.verify_key_file is None:
        raise InsecureSettingError("verify_key_file", f"it is not set, {UNSIGNED}")


def _insecure(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each such setting, and what is wrong with it and what to do."""
    redis = urlsplit(settings.redis_url)
    if redis.scheme == "redis" and not _local(redis.hostname):
        yield "redis_url", "redis:// sends passwords as they are; use rediss://"
    if redis.scheme in {"redis", "rediss"} and not redis.password:
        yield "redis_url", "it has no password; give Redis users, see docs/security.md"
    if parse_qs(redis.query).get("ssl_cert_reqs", ["required"]) != ["required"]:
        yield "redis_url", "any certificate will do for it; leave ssl_cert_reqs away"
    store = urlsplit(settings.store_url)
    if store.scheme == "s3+http" and not _local(store.hostname):
        yield "store_url", "http:// lets others read along; use s3+https://"
    if settings.encryption == "off":
        yield "encryption", "whoever reads the store reads the containers' memory; leave it on"
    if settings.log_level.upper() == "DEBUG":
        yield "log_level", "DEBUG logs what libraries send and receive; use INFO"


def _local(host: str | None) -> bool:
    """Whether a name is this machine's own, whatever a resolver says."""
    if host in {None, "", "localhost"}:
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
