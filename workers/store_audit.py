"""What MinIO refused, as log lines.

MinIO writes no log of requests; it sends an audit entry of each, granted or not, to a webhook:
one JSON object, with every header and the whole query in it, signatures too. So the fields that a
line has are picked here, and nothing else is kept of an entry. Without an answer of 2xx MinIO sends
it again every three seconds, and keeps what comes meanwhile in memory, up to
``MINIO_AUDIT_WEBHOOK_QUEUE_SIZE``; requests never wait for it. All of that is MinIO's source of
February 2026 (internal/logger: audit.go, message/audit/entry.go, target/http/http.go).
"""

from __future__ import annotations

import re
import signal
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socket import AF_INET, AF_INET6
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Annotated

import structlog
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError

from tasks.errors import InvalidRequestError
from workers.logs import configure_logging

if TYPE_CHECKING:
    from workers.metrics.address import Address

# MinIO takes 1 MiB of path and headers, of which JSON makes up to six. Longer is only what tells of
# hundreds of objects that a user removes at once.
ENTRY_BYTES_MAX = 8 << 20
READ_BYTES = 64 << 10
TEXT_MAX = 1024  # characters of a field: S3's longest key
IDLE_SECONDS = 60.0
INCOMING = "incoming"
# What a user may be told who was let in: not there, there already, not as it was, not so long.
ORDINARY = {404, 409, 412, 416}
# Headers in which a client says what its address is, and MinIO believes it.
FORWARDED = {"x-forwarded-for", "x-real-ip", "forwarded"}
# In an Authorization header, of signature version 4 and 2; bounded, because anybody may send one:
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
_CLAIMED = re.compile(r"\bCredential=([^/,\s]{1,128})/|\AAWS ([^:\s]{1,128}):")

Text = Annotated[str, AfterValidator(lambda text: text[:TEXT_MAX])]
log = structlog.get_logger()


class Api(BaseModel, frozen=True):
    """What was asked for, and MinIO's answer: 0 where it knows no such request, and says 400."""

    name: Text = ""
    status: int = Field(default=0, alias="statusCode")


class Entry(BaseModel, frozen=True):
    """An entry of MinIO's audit log, as far as it is looked at."""

    time: AwareDatetime
    trigger: Text = ""  # not INCOMING: MinIO did it by itself
    api: Api
    path: Text = Field(default="", alias="requestPath")
    remote_host: Text = Field(default="", alias="remotehost")
    access_key: Text = Field(default="", alias="accessKey")  # of whom MinIO let in
    headers: dict[str, str] = Field(default={}, alias="requestHeader")
    query: dict[str, str] = Field(default={}, alias="requestQuery")

    @property
    def refused(self) -> bool:
        """Whether MinIO did not do what it was asked for, and the client is to blame."""
        if not self.api.status:
            return self.trigger == INCOMING
        ordinary = self.access_key and self.api.status in ORDINARY
        return 400 <= self.api.status < 500 and not ordinary

    @property
    def claimed_key(self) -> str:
        """The id of the key that the client says it has; no proof that it has it."""
        found = _CLAIMED.search(self.headers.get("Authorization", ""))
        if found:
            return found[1] or found[2]
        signed = self.query.get("X-Amz-Credential") or self.query.get("AWSAccessKeyId", "")
        return signed.partition("/")[0][:TEXT_MAX]

    def line(self) -> dict[str, object]:
        """What is logged; with ``host_claimed`` MinIO took the address from the client's words."""
        return {
            "time": self.time.isoformat(),
            "api": self.api.name,
            "path": self.path,
            "status": self.api.status,
            "remote_host": self.remote_host,
            "host_claimed": any(name.lower() in FORWARDED for name in self.headers),
            "access_key": self.access_key or self.claimed_key,
            "key_proven": bool(self.access_key),
        }


def run_store_audit(address: Address) -> None:
    """Take MinIO's audit log at an address and log what was refused, until a signal.

    Raises InvalidRequestError where nothing can listen there.
    """
    try:
        server = AuditServer(address)
    except OSError as error:
        raise InvalidRequestError(f"{address}: {(error.strerror or str(error)).lower()}") from error
    configure_logging("info")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with server:
        log.info("MinIO's audit log is awaited", address=str(address))
        server.serve_forever()


def note(body: bytes) -> None:
    """Log the refusals among some entries, one a line."""
    for text in body.splitlines():
        try:
            entry = Entry.model_validate_json(text)
        except ValidationError:  # its text would show what was sent
            log.warning("what came is no entry of MinIO's audit log", bytes=len(text))
            continue
        if entry.refused:
            log.warning("refused by the store", **entry.line())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # so that MinIO keeps its connection
    timeout = IDLE_SECONDS

    def handle(self) -> None:
        with suppress(ConnectionError):  # MinIO is gone, and sends it again
            super().handle()

    def do_POST(self) -> None:
        """Take whatever comes: MinIO would send it again for ever, and nothing after it."""
        length = int(self.headers["Content-Length"])
        if length <= ENTRY_BYTES_MAX:
            note(self.rfile.read(length))
        else:
            for begin in range(0, length, READ_BYTES):
                self.rfile.read(min(READ_BYTES, length - begin))
            log.warning("an entry of MinIO's audit log is too long", bytes=length)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the lines are those of MinIO's requests."""


class AuditServer(ThreadingTCPServer):
    """Takes what MinIO sends."""

    # Not an HTTPServer, which asks the DNS for its own name before it listens.
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: Address) -> None:
        self.address_family = AF_INET6 if ":" in address.host else AF_INET
        super().__init__(address, _Handler)
