"""An object store on S3 or anything that speaks it; boto3 is known here and in s3_errors.py."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from storage.errors import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    StoreFullError,
    StoreUnavailableError,
)
from storage.objects import Blob, ObjectInfo, Result, Take, probe, require_key
from storage.s3_download import Content, Place, download
from storage.s3_errors import status_of, translated
from storage.s3_options import Addressing, S3Options

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

_logger = logging.getLogger(__name__)
_DEFAULT_REGION = "us-east-1"


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailableError) and not isinstance(error, StoreFullError)


# Long enough for a server to be started again: about ten seconds when it refuses connections. Not
# botocore's own retries: they end within a second, and leave the reading of an answer out.
_PATIENCE = Retrying(
    retry=retry_if_exception(_is_passing),
    stop=stop_after_attempt(8) | stop_after_delay(60),
    wait=wait_random_exponential(multiplier=0.25, max=5),
    before_sleep=before_sleep_log(_logger, logging.INFO),
    reraise=True,
)


class _Condition(TypedDict, total=False):
    IfNoneMatch: str


class _Next(TypedDict, total=False):
    ContinuationToken: str


class S3ObjectStore:
    """Keeps objects in `bucket`, below `prefix` (no slash at its ends; may be empty).

    `endpoint` is the http(s) URL of a server that is not AWS, None for AWS. Nothing connects before
    the first call, and a forked child gets a client of its own. What may pass is tried again with
    jitter for some ten seconds, then raised: StoreBusyError when the server wants fewer requests.
    Raises StoreConfigError when the options do not go with the place.
    """

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        options: S3Options | None = None,
    ) -> None:
        place = f"{bucket}/{prefix}".rstrip("/")
        self.url = f"s3+{endpoint}/{place}" if endpoint else f"s3://{place}"
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._options = options or S3Options()
        self._options.check_place(endpoint, bucket)
        self._lock = threading.Lock()
        self._connected: tuple[int, S3Client] | None = None
        # one of its own: boto3's default one is not safe across threads. It holds no sockets, so a
        # forked child keeps it: to read boto3's descriptions of S3 anew takes a tenth of a second
        self._session: boto3.session.Session | None = None

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        """See ObjectStore."""
        body = bytes(data) if isinstance(data, memoryview) else data
        condition: _Condition = {"IfNoneMatch": "*"} if if_absent else {}
        name = self._name(key)
        self._ask(
            lambda client: client.put_object(
                **name,
                **condition,
                **self._options.placement,  # type: ignore[arg-type] # only the names it has
                Body=body,  # type: ignore[arg-type] # botocore takes a bytearray, its stubs do not
            ),
            key,
        )

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """See ObjectStore."""
        name = self._name(key)

        def ask(client: "S3Client") -> Content:
            answer = client.get_object(**name)
            return answer["Body"], answer.get("ContentLength", 0)  # none when it comes in chunks

        return self._read(
            key, ask, b"".join, None if max_bytes is None else max_bytes + 1, max_bytes
        )

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        """See ObjectStore."""
        name = self._name(key)
        return self._read(key, lambda client: download(client, name), take, block_bytes, max_bytes)

    def _read(
        self,
        key: str,
        ask: Callable[["S3Client"], Content],
        take: Take[Result],
        block_bytes: int | None,
        max_bytes: int | None,
    ) -> Result:
        def read(client: "S3Client") -> Result:
            answer, size = ask(client)
            with contextlib.closing(answer) as body:
                if max_bytes is not None and size > max_bytes:
                    raise ObjectTooLargeError(key, max_bytes)
                return take(_blocks(body, key, block_bytes, max_bytes))

        return self._ask(read, key)

    def exists(self, key: str) -> bool:
        """See ObjectStore."""
        name = self._name(key)
        try:
            self._ask(lambda client: client.head_object(**name), key)
        except ObjectNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        after: str | None = ""
        while after is not None:
            page = self._page(prefix, after)
            for entry in page.get("Contents", []):
                yield ObjectInfo(
                    key=entry["Key"].removeprefix(self._prefix),
                    size=entry["Size"],
                    modified=entry["LastModified"],
                )
            after = page.get("NextContinuationToken")

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        name = self._name(key)
        self._ask(lambda client: client.delete_object(**name), key)

    def check(self) -> None:
        """See ObjectStore. Creates the bucket when it is missing."""
        self._ask(self._find_bucket)
        probe(self)

    def sweep(self, *, before: datetime, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """See ObjectStore. An upload here is one request, so none is ever left half done."""
        return ()

    def close(self) -> None:
        """See ObjectStore."""
        with self._lock:
            if self._connected:
                self._connected[1].close()
            self._connected = None

    def _ask(self, request: Callable[["S3Client"], Result], key: str = "") -> Result:
        """Make a request, again while its failure may pass."""

        def attempt() -> Result:
            with translated(self.url, key):
                return request(self._client())

        return _PATIENCE.copy()(attempt)

    def _page(self, prefix: str, after: str) -> "ListObjectsV2OutputTypeDef":
        place: _Next = {"ContinuationToken": after} if after else {}
        return self._ask(
            lambda client: client.list_objects_v2(
                Bucket=self._bucket, Prefix=self._prefix + prefix, **place
            )
        )

    def _find_bucket(self, client: "S3Client") -> None:
        try:
            client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if status_of(error) == 404:
                self._create_bucket(client)
            # keys that may not look at the bucket may still be good for its objects
            elif status_of(error) != 403:
                raise

    def _create_bucket(self, client: "S3Client") -> None:
        region = client.meta.region_name
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # by another host
            if self._endpoint or region == _DEFAULT_REGION:
                client.create_bucket(Bucket=self._bucket)
            else:
                client.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item] # any region
                )

    def _name(self, key: str) -> Place:
        return {"Bucket": self._bucket, "Key": self._prefix + require_key(key)}

    def _client(self) -> "S3Client":
        """The client of this process: sockets that a fork copied belong to the parent."""
        with self._lock:
            if self._connected is None or self._connected[0] != os.getpid():
                self._connected = (os.getpid(), self._connect())
            return self._connected[1]

    def _connect(self) -> "S3Client":
        options = self._options
        self._session = self._session or boto3.session.Session()
        return self._session.client(
            "s3",
            endpoint_url=self._endpoint,
            aws_access_key_id=options.access_key,
            aws_secret_access_key=options.secret_key,
            aws_session_token=options.session_token,
            region_name=options.region or (_DEFAULT_REGION if self._endpoint else None),
            verify=str(options.ca_file) if options.ca_file else None,
            config=_config(options.addressing, own_endpoint=self._endpoint is not None),
        )


def _blocks(
    body: StreamingBody, key: str, block_bytes: int | None, max_bytes: int | None
) -> Iterator[bytes]:
    """What is there, in blocks. Raises ObjectTooLargeError when it has more than `max_bytes`."""
    size = 0
    while block := body.read(block_bytes):
        size += len(block)
        if max_bytes is not None and size > max_bytes:
            raise ObjectTooLargeError(key, max_bytes)
        yield block


def _config(addressing: Addressing, *, own_endpoint: bool) -> Config:
    """Measured settings.

    The body is not signed and carries no trailing checksum: signing more than doubles the CPU
    time of an upload, trailers break other vendors' servers, and archives bring their own digests.
    """
    if addressing == "auto" and own_endpoint:
        addressing = "path"
    return Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": False, "addressing_style": addressing},
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 1},  # _PATIENCE tries again
        max_pool_connections=32,
        tcp_keepalive=True,
    )
