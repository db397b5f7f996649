"""What boto3 raises, as errors of ours."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from botocore.exceptions import SSLError as TlsError

from storage.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreAccessError,
    StoreBusyError,
    StoreClockError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
)

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; those with X are MinIO's
_SETTINGS = {
    "NoSuchBucket": ("object store URL", "it names no existing bucket"),
    "AuthorizationHeaderMalformed": ("object store region", "the bucket is in another one"),
    "IllegalLocationConstraintException": ("object store region", "the bucket is in another one"),
    "PermanentRedirect": ("object store region", "the bucket is in another one"),
    "InvalidStorageClass": ("object store storage class", "the server has no such class"),
    "NotImplemented": ("object store URL", "the server lacks something that it is asked for"),
}
# with status 400, and about how the request came in, not about what it asked for
_CUT_OFF = {"IncompleteBody", "RequestTimeout"}
_BUSY = {429, 503}
_LATER = {408, 409}
_FULL = {507}
# S3 refuses a request whose time is further off than this.
_CLOCK_TOLERANCE_SECONDS = 900


@contextlib.contextmanager
def translated(url: str, key: str = "") -> Iterator[None]:
    """Turn the vendor's errors into ours; `url` names the store, `key` the object asked for."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error, url, key) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise StoreAccessError(url, _line(error)) from error
    except NoRegionError as error:
        raise StoreConfigError("object store region", _line(error)) from error
    except TlsError as error:
        raise _handshake(error, url) from error
    except BotoCoreError as error:
        raise StoreUnavailableError(url, _line(error)) from error


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _refusal(error: ClientError, url: str, key: str) -> StorageError:
    """What an answer with an error status means."""
    status, code = status_of(error), error.response["Error"].get("Code", "")
    if code in _SETTINGS or code.lower().startswith("kms"):  # KMS.Disabled…, kms:KeyNotFound
        setting, reason = _SETTINGS.get(code, ("object store KMS key", "the key cannot be used"))
        return StoreConfigError(setting, f"{reason} ({url}: {_line(error)})")
    if status == 404:
        return ObjectNotFoundError(key)
    if status == 412:
        return ObjectExistsError(key)
    if status in _BUSY:
        return StoreBusyError(url, _line(error))
    if status in _FULL:
        return StoreFullError(url, _line(error))
    if status >= 500 or status in _LATER or code in _CUT_OFF:
        return StoreUnavailableError(url, _line(error))
    ahead = _seconds_ahead(error)
    if code == "RequestTimeTooSkewed" or abs(ahead) > _CLOCK_TOLERANCE_SECONDS:
        return StoreClockError(url, ahead)
    return StoreAccessError(url, _line(error))


def _seconds_ahead(error: ClientError) -> int:
    """How far this host's clock is ahead of the server's; 0 when the server does not say."""
    date = error.response["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return round((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return 0


def _handshake(error: TlsError, url: str) -> StorageError:
    """What a failed TLS handshake means: most failures are settings, and stay."""
    reason = _line(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return StoreConfigError(
            "object store CA file",
            f"{url} shows a certificate that it does not vouch for: {reason}",
        )
    if "WRONG_VERSION_NUMBER" in reason or "record layer failure" in reason:
        return StoreConfigError("object store URL", f"{url} does not speak TLS: {reason}")
    return StoreUnavailableError(url, reason)


def _line(error: Exception) -> str:
    # botocore counts only its own retries, and makes none here
    return " ".join(str(error).replace(" (reached max retries: 0)", "").split())
