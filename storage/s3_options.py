"""How to reach a bucket and what to ask of it: the settings of S3, checked against each other."""

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from storage.errors import StoreConfigError

Addressing: TypeAlias = Literal["auto", "path", "virtual"]
ServerEncryption: TypeAlias = Literal["AES256", "aws:kms"]

_REGION = re.compile(r"[a-zA-Z0-9-]{1,63}")
_STORAGE_CLASS = re.compile(r"[A-Z][A-Z0-9_-]{0,63}")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
_NOT_READABLE_AT_ONCE = {"GLACIER", "DEEP_ARCHIVE"}


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """All but the place. Raises StoreConfigError, which names the setting.

    Without keys boto3's own chain is asked (environment, profile, instance role). `addressing` auto
    is path style on an endpoint of one's own and what AWS prefers on AWS. `ca_file` replaces the
    system's certificates. `sse` is encryption by the server: AES256 (SSE-S3) or aws:kms (SSE-KMS,
    with the bucket's default key unless there is a `kms_key`).
    """

    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    addressing: Addressing = "auto"
    ca_file: Path | None = None
    sse: ServerEncryption | None = None
    kms_key: str | None = None
    storage_class: str | None = None

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise StoreConfigError("object store access key", "it needs both keys, or neither")
        if self.session_token and self.access_key is None:
            reason = "it belongs to an access key, and there is none"
            raise StoreConfigError("object store session token", reason)
        if self.region and not _REGION.fullmatch(self.region):
            raise StoreConfigError("object store region", f"{self.region!r} is no region name")
        if self.kms_key and self.sse != "aws:kms":
            raise StoreConfigError("object store KMS key", "it needs the SSE aws:kms")
        if self.storage_class:
            _check_storage_class(self.storage_class)
        if self.ca_file:
            _check_certificates(self.ca_file)

    @property
    def placement(self) -> dict[str, str]:
        """What every object is written with, as put_object's arguments."""
        named = {
            "ServerSideEncryption": self.sse,
            "SSEKMSKeyId": self.kms_key,
            "StorageClass": self.storage_class,
        }
        return {name: value for name, value in named.items() if value}

    def check_place(self, endpoint: str | None, bucket: str) -> None:
        """Raise StoreConfigError when the options do not go with where the bucket is."""
        address = urlsplit(endpoint or "https://amazonaws.com")
        if self.ca_file and address.scheme != "https":
            reason = "the store's URL is plain http, where no certificate is shown"
            raise StoreConfigError("object store CA file", reason)
        if self.addressing != "virtual":
            return
        if _is_ip_address(address.hostname or ""):
            reason = "virtual needs a host name to put the bucket before, not an address"
            raise StoreConfigError("object store addressing", reason)
        if address.scheme == "https" and "." in bucket:
            reason = f"with virtual no certificate matches a bucket with dots, {bucket}; use path"
            raise StoreConfigError("object store addressing", reason)


def _check_storage_class(name: str) -> None:
    if not _STORAGE_CLASS.fullmatch(name):
        reason = f"{name!r} is no storage class; it is spelled as STANDARD_IA is"
        raise StoreConfigError("object store storage class", reason)
    if name in _NOT_READABLE_AT_ONCE:
        reason = f"an object in {name} cannot be read at once, as a restore must"
        raise StoreConfigError("object store storage class", reason)


def _check_certificates(file: Path) -> None:
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError as error:
        reason = f"{file} holds no PEM certificates"
        raise StoreConfigError("object store CA file", reason) from error
    except OSError as error:
        reason = f"{file}: {(error.strerror or str(error)).lower()}"
        raise StoreConfigError("object store CA file", reason) from error


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
