"""Signed links: control workers say what is to be run, and everybody else can only pass it on.

A link is one call: a task, its arguments, and the queue that it is for. Whoever plans a workflow
signs all links of the plan (Ed25519, https://www.rfc-editor.org/rfc/rfc8032) until a moment; the
signatures travel in a header of each message. A worker checks what it is given, for its own
queues, before it does anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from tasks.errors import RefusedLinkError, SigningKeyError
from tasks.models import Model, Workflow, now

HEADER = "podferry_pass"
LATE = timedelta(hours=2)  # after its deadline a workflow may still have to be brought back
KEEP_BEGUN = timedelta(days=7)  # after that
END = b"-----END PUBLIC KEY-----\n"


@dataclass(frozen=True, kw_only=True)
class Link:
    """One call."""

    task: str
    arguments: Mapping[str, object]
    queue: str

    def said(self, expires: int) -> bytes:
        """What is signed."""
        parts = [1, self.task, dict(self.arguments), self.queue, expires]
        return json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()


class Pass(Model):
    """The header: signatures of the links of a plan, in base64, and until when they count."""

    expires: int  # seconds since 1970
    signatures: tuple[str, ...]


class Signer:
    """Signs with the key in a PEM file, which only its owner may read. Raises SigningKeyError."""

    def __init__(self, path: Path) -> None:
        content = _read(path)
        if path.stat().st_mode & 0o077:
            raise SigningKeyError(path, f"others may read it; type: chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except ValueError:
            raise SigningKeyError(path, "it is no private key in PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError(path, "it is no Ed25519 key")
        self._key = key

    @property
    def public(self) -> Ed25519PublicKey:
        """What its signatures are checked with."""
        return self._key.public_key()

    def headers(self, links: Iterable[Link], expires: datetime) -> dict[str, object]:
        """The headers with which messages are sent that are these links."""
        until = int(expires.timestamp())
        signatures = tuple(
            base64.b64encode(self._key.sign(link.said(until))).decode() for link in links
        )
        return {HEADER: Pass(expires=until, signatures=signatures).model_dump(mode="json")}


class Verifier:
    """Checks what was sent to some queues."""

    def __init__(self, keys: Sequence[Ed25519PublicKey], queues: Collection[str]) -> None:
        self._keys = tuple(keys)
        self._queues = tuple(queues)

    def check(self, task: str, arguments: Mapping[str, object], header: object) -> None:
        """Return if this was signed for one of its queues. Raises RefusedLinkError."""
        if header is None:
            raise RefusedLinkError(task, "it is not signed")
        try:
            given = Pass.model_validate(header)
            signatures = [base64.b64decode(text, validate=True) for text in given.signatures]
        except (ValidationError, binascii.Error):
            raise RefusedLinkError(task, "its signature cannot be read") from None
        links = [Link(task=task, arguments=arguments, queue=queue) for queue in self._queues]
        if not any(
            _signed(key, signature, link.said(given.expires))
            for link in links
            for key in self._keys
            for signature in signatures
        ):
            raise RefusedLinkError(task, "no control worker has signed this for this queue")
        if now().timestamp() > given.expires:
            raise RefusedLinkError(task, "it came too late")


def read_public_keys(path: Path) -> tuple[Ed25519PublicKey, ...]:
    """The public keys in a PEM file, one after the other. Raises SigningKeyError."""
    content = _read(path)
    found = []
    for part in content.split(END)[:-1]:
        try:
            key = serialization.load_pem_public_key(part + END)
        except ValueError:
            raise SigningKeyError(path, "it is no public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise SigningKeyError(path, "it is no Ed25519 key")
        found.append(key)
    if not found:
        raise SigningKeyError(path, "there is no public key in it")
    return tuple(found)


def new_key_pair() -> tuple[bytes, bytes]:
    """A new private key and its public one, each the content of a PEM file."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def write_new(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, and make its directory where there is none.

    Raises SigningKeyError where there is such a file already.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SigningKeyError(path, reason) from error


def expiry(workflow: Workflow) -> datetime:
    """Until when the links of its newest plan count."""
    return max(workflow.deadline, now()) + LATE


class Ledger:
    """Which steps a host has begun: an empty file each, in a directory of its own.

    A record that somebody puts back to what it was does not make a host run a step again. The time
    of a file is the moment from which it is not needed any more.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, workflow: Workflow, index: int) -> bool:
        """Whether this step was begun here."""
        return self._file(workflow, index).exists()

    def enter(self, workflow: Workflow, index: int) -> None:
        """Remember that this step is begun."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self._directory.iterdir():
            if old.stat().st_mtime < now().timestamp():
                old.unlink(missing_ok=True)
        file = self._file(workflow, index)
        file.touch(mode=0o600)
        until = (expiry(workflow) + KEEP_BEGUN).timestamp()
        os.utime(file, (until, until))

    def _file(self, workflow: Workflow, index: int) -> Path:
        name = hashlib.sha256(workflow.id.encode()).hexdigest()  # others choose what an id is
        return self._directory / f"{name}.{workflow.steps[index].epoch}.{index}"


def _signed(key: Ed25519PublicKey, signature: bytes, said: bytes) -> bool:
    try:
        key.verify(signature, said)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SigningKeyError(path, reason) from error
