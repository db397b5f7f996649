"""From a URL in the settings to an object store."""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from storage.errors import StoreConfigError
from storage.local import LocalObjectStore
from storage.memory import MemoryObjectStore
from storage.objects import ObjectStore, require_key
from storage.s3_options import Addressing, S3Options, ServerEncryption

_SETTING = "object store URL"
_ACCEPTED = (
    "s3+http://host:port/bucket[/prefix], s3+https://host[:port]/bucket[/prefix], "
    "s3://bucket[/prefix], file:///directory or memory://"
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_objects(
    url: str,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    session_token: str | None = None,
    region: str | None = None,
    addressing: Addressing = "auto",
    ca_file: Path | None = None,
    sse: ServerEncryption | None = None,
    kms_key: str | None = None,
    storage_class: str | None = None,
) -> ObjectStore:
    """Open the store that `url` names; nothing is contacted yet, `check()` does that.

    The options are those of S3Options. How to reach S3 matters to no other store; a promise about
    what is kept there (SSE, storage class) is refused where it cannot be honoured. Each
    memory:// is a new, empty store. Raises StoreConfigError.
    """
    options = S3Options(
        access_key=access_key,
        secret_key=secret_key,
        session_token=session_token,
        region=region,
        addressing=addressing,
        ca_file=ca_file,
        sse=sse,
        kms_key=kms_key,
        storage_class=storage_class,
    )
    parts = _split(url)
    if not parts.scheme.startswith("s3") and options.placement:
        _refuse_placement(options)
    if parts.scheme == "memory" and not parts.netloc + parts.path:
        return MemoryObjectStore()
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return LocalObjectStore(Path(unquote(parts.path)))
    if parts.scheme not in {"s3", "s3+http", "s3+https"} or not parts.hostname:
        raise StoreConfigError(_SETTING, f"it must be one of {_ACCEPTED}")
    if parts.scheme == "s3":
        endpoint, bucket, prefix = None, parts.netloc, parts.path
    else:
        endpoint = f"{parts.scheme.removeprefix('s3+')}://{parts.netloc}"
        bucket, _, prefix = parts.path.lstrip("/").partition("/")
    # Here, because boto3 takes longer to import than most commands take to run.
    from storage.s3 import S3ObjectStore

    return S3ObjectStore(
        bucket=_bucket(bucket),
        prefix=_prefix(prefix.strip("/")),
        endpoint=endpoint,
        options=options,
    )


def _refuse_placement(options: S3Options) -> None:
    what = "SSE" if options.sse else "storage class"
    raise StoreConfigError(f"object store {what}", "the store is not S3 and has no such thing")


def _split(url: str) -> SplitResult:
    """Split `url`; it is not repeated in an error, for it may hold a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 # parsed, and so verified, only when asked for
    except ValueError:
        raise StoreConfigError(_SETTING, f"it must be one of {_ACCEPTED}") from None
    if "@" in parts.netloc:
        raise StoreConfigError(_SETTING, "it holds a user or password; give the keys as settings")
    if parts.query or parts.fragment:
        raise StoreConfigError(_SETTING, "it has a query or fragment, which nothing would use")
    return parts


def _bucket(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise StoreConfigError(_SETTING, f"{name!r} is not a bucket name; use {_ACCEPTED}")
    return name


def _prefix(prefix: str) -> str:
    try:
        return require_key(prefix) if prefix else ""
    except ValueError:
        raise StoreConfigError(_SETTING, f"{prefix!r} is not a usable prefix") from None
