"""What an object store is to this package: named, immutable blobs, each at most one part long."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from storage.errors import ObjectExistsError, StoreConfigError, StoreUnavailableError

Blob: TypeAlias = bytes | bytearray | memoryview
Result = TypeVar("Result")
Take: TypeAlias = Callable[[Iterator[bytes]], Result]


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One line of a listing: the size in bytes and the time of writing, in UTC."""

    key: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """A flat store of immutable objects; safe to use from several threads at once.

    Any method may raise StoreUnavailableError, StoreAccessError or StoreConfigError, and
    ValueError for a key that `require_key` refuses.
    """

    @property
    def url(self) -> str:
        """Where the store is. Holds no secret, so that it may be printed."""

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        """Write the object whole or not at all; durable on return, when `data` is done with.

        Raises ObjectExistsError when `if_absent` is set and the key is taken: by another writer, or
        by this very call when its first answer was lost. Compare the content where that matters.
        """

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """The object's content. Raises ObjectNotFoundError.

        With `max_bytes` no more than that is ever held in memory: an object that has more raises
        ObjectTooLargeError.
        """

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        """What `take` makes of the object's content; raises what it raises, else as `get`.

        It gets blocks of `block_bytes`, one in memory at a time; the last one may be shorter, never
        empty. When reading fails on the way it is called again, from the beginning.
        """

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose keys start with `prefix`, in no particular order."""

    def delete(self, key: str) -> None:
        """Remove the object; a key that is not there is no error."""

    def check(self) -> None:
        """Prove that objects can be written, read and deleted; create the store when missing.

        Raises StoreConfigError when the store ignores the condition of a conditional write: a
        checkpoint id stands for one archive only because its manifest is written once.
        """

    def sweep(self, *, before: datetime, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """Remove what writers that died left of objects since before `before`; return what it was.

        These are no objects: no listing shows them. `dry_run` leaves them.
        """

    def close(self) -> None:
        """Release connections. The store can still be used; it connects again."""


def require_key(key: str) -> str:
    """Return `key` if it is a relative path that stays where it is put, else raise ValueError.

    No segment is empty or begins with a dot: that rules out "..", and leaves names that begin
    with a dot to a backend's own temporary files.
    """
    segments = key.split("/")
    if "\0" in key or any(not part or part.startswith(".") for part in segments):
        raise ValueError(f"not an object key: {key!r}")
    return key


def in_blocks(data: bytes, block_bytes: int) -> Iterator[bytes]:
    """What `ObjectStore.stream` passes on, of an object that is in memory as a whole."""
    return (data[start : start + block_bytes] for start in range(0, len(data), block_bytes))


def probe(store: ObjectStore) -> None:
    """Write, read and delete an object, and see that a second conditional write is refused.

    Some servers ignore the condition; two writers could then publish the same checkpoint.
    The store must exist.
    """
    key = f"probe-{secrets.token_hex(8)}"
    content = secrets.token_bytes(16)
    store.put(key, content, if_absent=True)
    try:
        if store.get(key) != content:
            raise StoreUnavailableError(store.url, "it does not return what was written")
        with contextlib.suppress(ObjectExistsError):
            store.put(key, secrets.token_bytes(16), if_absent=True)
            raise StoreConfigError(
                "object store URL",
                f"{store.url} ignores conditional writes (If-None-Match), so two hosts could "
                "write the same checkpoint; docs/storage.md names servers that honour them",
            )
    finally:
        store.delete(key)
