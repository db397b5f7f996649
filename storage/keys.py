"""The keys that archives are sealed with: named, so that they can be rotated."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import Field

from storage.errors import KeyMissingError
from storage.records import Record, UtcDatetime

KEY_BYTES = 32


class Key(Record, extra="forbid"):
    """A key-encryption key: 32 secret bytes, which the repr leaves out, under a name."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)
    created: UtcDatetime
    secret: Annotated[bytes, Field(min_length=KEY_BYTES, max_length=KEY_BYTES, repr=False)]


class Keyring(Protocol):
    """The keys of an installation. Any method may raise KeyFileError."""

    def current(self) -> Key:
        """The key for what is written now."""

    def find(self, key_id: str) -> Key:
        """The key of this id, for reading. Raises KeyMissingError."""


class StaticKeyring:
    """Keys that this process was given; the last is the current one."""

    def __init__(self, *keys: Key, place: str = "the keys of this process") -> None:
        self._keys = keys
        self._place = place

    def current(self) -> Key:
        """See Keyring."""
        return self._keys[-1]

    def find(self, key_id: str) -> Key:
        """See Keyring."""
        return find_key(self._keys, key_id, self._place)


UNENCRYPTED = StaticKeyring(
    Key(id="none", created=datetime(2026, 1, 1, tzinfo=UTC), secret=bytes(KEY_BYTES)),
    place="PODFERRY_ENCRYPTION=off",
)
"""Encryption turned off: archives are sealed with a key that everybody knows.

Damage and mix-ups show as ever, for less than a digest costs, but nothing is secret, and whoever
writes to the store can forge. No other keyring holds this key, so none of it is ever read by one
that encrypts.
"""


def find_key(keys: Sequence[Key], key_id: str, place: str) -> Key:
    """The key of this id. Raises KeyMissingError, which names the `place` that lacks it."""
    for key in keys:
        if key.id == key_id:
            return key
    raise KeyMissingError(key_id, place)
