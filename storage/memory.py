"""An object store in this process's memory: the fake that tests and dry runs use."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from storage.errors import ObjectExistsError, ObjectNotFoundError, ObjectTooLargeError
from storage.objects import Blob, ObjectInfo, Result, Take, in_blocks, probe, require_key


class MemoryObjectStore:
    """Keeps objects in a dictionary; they are gone with it."""

    url = "memory://"

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        """See ObjectStore."""
        entry = (bytes(data), datetime.now(UTC))
        if not if_absent:
            self._objects[require_key(key)] = entry
        # setdefault is one step, also between threads
        elif self._objects.setdefault(require_key(key), entry) is not entry:
            raise ObjectExistsError(key)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """See ObjectStore."""
        try:
            data = self._objects[require_key(key)][0]
        except KeyError:
            raise ObjectNotFoundError(key) from None
        if max_bytes is not None and len(data) > max_bytes:
            raise ObjectTooLargeError(key, max_bytes)
        return data

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        """See ObjectStore."""
        return take(in_blocks(self.get(key, max_bytes=max_bytes), block_bytes))

    def exists(self, key: str) -> bool:
        """See ObjectStore."""
        return require_key(key) in self._objects

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        for key, (data, modified) in self._objects.copy().items():
            if key.startswith(prefix):
                yield ObjectInfo(key=key, size=len(data), modified=modified)

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        self._objects.pop(require_key(key), None)

    def check(self) -> None:
        """See ObjectStore."""
        probe(self)

    def sweep(self, *, before: datetime, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """See ObjectStore. A write leaves nothing here."""
        return ()

    def close(self) -> None:
        """See ObjectStore."""
