"""Records in the store: sealed as a whole, and readable only under the name they were given.

The stored object is an envelope in JSON whose `sealed` holds the record, AES-256-GCM under a key
derived from the keyring's. docs/archives.md describes the format for other readers.
"""

import os
from typing import Annotated, Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field, ValidationError

from storage.keys import KEY_BYTES, Key, Keyring
from storage.records import Record, first_reason

FORMAT_VERSION: Literal[2] = 2
RECORD_LIMIT = 16 << 20
"""No stored record has more bytes: what has, is not ours, and is not read into memory."""

Kind: TypeAlias = Literal["archive", "checkpoint", "draft", "group", "image"]

_NONCE_BYTES = 12


class _Envelope(Record, extra="forbid"):
    format: Literal["podferry"] = "podferry"
    version: Literal[2] = FORMAT_VERSION
    kind: Kind
    name: str
    key_id: str
    nonce: Annotated[bytes, Field(min_length=_NONCE_BYTES, max_length=_NONCE_BYTES)]
    sealed: bytes


def seal_record(kind: Kind, name: str, body: bytes, keys: Keyring) -> bytes:
    """What is stored for a record. Raises KeyFileError."""
    key, nonce = keys.current(), os.urandom(_NONCE_BYTES)
    sealed = _cipher(key).encrypt(nonce, body, _bound(kind, name, key.id))
    envelope = _Envelope(kind=kind, name=name, key_id=key.id, nonce=nonce, sealed=sealed)
    return envelope.model_dump_json(indent=2).encode()


def open_record(kind: Kind, name: str, data: bytes, keys: Keyring) -> bytes:
    """The record that was sealed as this kind and under this name.

    Raises ValueError when it is anything else, or was changed; KeyMissingError, KeyFileError.
    """
    try:
        envelope = _Envelope.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(first_reason(error)) from None
    if (envelope.kind, envelope.name) != (kind, name):
        raise ValueError(f"it belongs to {envelope.kind} {envelope.name}")
    bound = _bound(kind, name, envelope.key_id)
    try:
        return _cipher(keys.find(envelope.key_id)).decrypt(envelope.nonce, envelope.sealed, bound)
    except InvalidTag:
        raise ValueError("it was changed since it was written") from None


def _cipher(key: Key) -> AESGCM:
    # derived, so that the key itself stays free for other uses
    derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"podferry/2 record")
    return AESGCM(derive.derive(key.secret))


def _bound(kind: Kind, name: str, key_id: str) -> bytes:
    """What the seal binds besides the record."""
    return "\0".join((f"podferry/{FORMAT_VERSION}", kind, name, key_id)).encode()
