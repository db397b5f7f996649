"""An object store on S3 or anything that speaks it: the only module that knows boto3."""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from storage.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreAccessError,
    StoreConfigError,
    StoreUnavailableError,
)
from storage.objects import Blob, ObjectInfo, probe, require_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DEFAULT_REGION = "us-east-1"
_BUSY = {408, 409, 429}
# botocore retries a request, not the reading of its answer
_READ_AGAIN = Retrying(
    retry=retry_if_exception_type((IncompleteReadError, ResponseStreamingError)),
    stop=stop_after_attempt(3),
    wait=wait_random_exponential(multiplier=0.2, max=5),
    reraise=True,
)


class _Name(TypedDict):
    Bucket: str
    Key: str


class _Condition(TypedDict, total=False):
    IfNoneMatch: str


class S3ObjectStore:
    """Keeps objects in `bucket`, below `prefix` (no slash at its ends; may be empty).

    `endpoint` is the http(s) URL of a server that is not AWS, None for AWS. Without keys, boto3's
    own chain is asked (environment, profile, instance role). Nothing connects before the first
    call, and a forked child gets a client of its own.
    """

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str | None = None,
    ) -> None:
        place = f"{bucket}/{prefix}".rstrip("/")
        self.url = f"s3+{endpoint}/{place}" if endpoint else f"s3://{place}"
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._keys = (access_key, secret_key)
        self._region = region or (_DEFAULT_REGION if endpoint else None)
        self._lock = threading.Lock()
        self._connected: tuple[int, S3Client] | None = None

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        """See ObjectStore. Tried again, with jitter, for some seconds."""
        body = bytes(data) if isinstance(data, memoryview) else data
        condition: _Condition = {"IfNoneMatch": "*"} if if_absent else {}
        with self._translated(key):
            self._client().put_object(
                **self._name(key),
                **condition,
                Body=body,  # type: ignore[arg-type] # botocore takes a bytearray, its stubs do not
            )

    def get(self, key: str) -> bytes:
        """See ObjectStore. Tried again, with jitter, for some seconds."""
        with self._translated(key):
            return _READ_AGAIN.copy()(self._read, key)

    def exists(self, key: str) -> bool:
        """See ObjectStore."""
        try:
            with self._translated(key):
                self._client().head_object(**self._name(key))
        except ObjectNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        with self._translated():
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for entry in page.get("Contents", []):
                    yield ObjectInfo(
                        key=entry["Key"].removeprefix(self._prefix),
                        size=entry["Size"],
                        modified=entry["LastModified"],
                    )

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with self._translated(key):
            self._client().delete_object(**self._name(key))

    def check(self) -> None:
        """See ObjectStore. Creates the bucket when it is missing."""
        with self._translated():
            try:
                self._client().head_bucket(Bucket=self._bucket)
            except ClientError as error:
                # keys that may not look at the bucket may still be good for its objects
                if _status(error) not in {403, 404}:
                    raise
                if _status(error) == 404:
                    self._create_bucket()
        probe(self)

    def close(self) -> None:
        """See ObjectStore."""
        with self._lock:
            if self._connected:
                self._connected[1].close()
            self._connected = None

    def _read(self, key: str) -> bytes:
        with contextlib.closing(self._client().get_object(**self._name(key))["Body"]) as body:
            return body.read()

    def _create_bucket(self) -> None:
        client = self._client()
        region = client.meta.region_name
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # by another host
            if self._endpoint or region == _DEFAULT_REGION:
                client.create_bucket(Bucket=self._bucket)
            else:
                client.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item] # any region
                )

    def _name(self, key: str) -> "_Name":
        return {"Bucket": self._bucket, "Key": self._prefix + require_key(key)}

    def _client(self) -> "S3Client":
        """The client of this process: sockets that a fork copied belong to the parent."""
        with self._lock:
            if self._connected is None or self._connected[0] != os.getpid():
                self._connected = (os.getpid(), self._connect())
            return self._connected[1]

    def _connect(self) -> "S3Client":
        access_key, secret_key = self._keys
        # a session of its own: boto3's default one is not safe across threads
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=self._region,
            config=_config(path_style=self._endpoint is not None),
        )

    @contextlib.contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        """Turn the vendor's errors into ours."""
        try:
            yield
        except ClientError as error:
            raise self._refusal(error, key) from error
        except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
            raise StoreAccessError(self.url, _line(error)) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(self.url, _line(error)) from error

    def _refusal(self, error: ClientError, key: str) -> StorageError:
        """What an answer with an error status means."""
        status, code = _status(error), error.response["Error"].get("Code", "")
        if code == "NoSuchBucket":
            return StoreConfigError("object store URL", f"{self.url} names no existing bucket")
        if status == 404:
            return ObjectNotFoundError(key)
        if status == 412:
            return ObjectExistsError(key)
        if status >= 500 or status in _BUSY:
            return StoreUnavailableError(self.url, _line(error))
        return StoreAccessError(self.url, _line(error))


def _config(*, path_style: bool) -> Config:
    """Measured settings.

    The body is not signed and carries no trailing checksum: signing more than doubles the CPU
    time of an upload, trailers break other vendors' servers, and archives bring their own digests.
    """
    return Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "payload_signing_enabled": False,
            "addressing_style": "path" if path_style else "auto",
        },
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=32,
        tcp_keepalive=True,
    )


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
