"""Copies of archives on this machine: sealed as they lie in the store, so no key guards them."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.errors import StorageError, StoreFullError
from storage.local import LocalObjectStore
from storage.manifest import Archive
from storage.objects import ObjectStore, Result, Take, in_blocks

SPOOL_GRACE = timedelta(hours=24)
"""What is older was left behind by a worker that was killed."""


class Spool:
    """Reads objects from `directory` where it has them, else from the store."""

    def __init__(self, objects: ObjectStore, directory: Path) -> None:
        self._objects = objects
        self._directory = directory
        self._copies = LocalObjectStore(directory)
        self._keeping: set[str] = set()
        self._lock = threading.Lock()

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """See ObjectStore. Keeps what it fetches of an archive that is to be kept."""
        with suppress(StorageError):  # not here, or not to be had: the store is asked
            return self._copies.get(key, max_bytes=max_bytes)
        data = self._objects.get(key, max_bytes=max_bytes)
        self._keep(key, data)
        return data

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        """See ObjectStore, and `get`."""
        with suppress(StorageError):
            return self._copies.stream(key, take, block_bytes=block_bytes, max_bytes=max_bytes)
        if self._keeps(key):
            return take(in_blocks(self.get(key, max_bytes=max_bytes), block_bytes))
        return self._objects.stream(key, take, block_bytes=block_bytes, max_bytes=max_bytes)

    def _keep(self, key: str, data: bytes) -> None:
        with self._lock:  # a fetch that outlives its reader leaves nothing behind
            if self._keeps(key):
                self._copies.put(key, data)

    def _keeps(self, key: str) -> bool:
        return any(key.startswith(f"{prefix}/") for prefix in self._keeping)

    @contextmanager
    def keeping(self, archive: Archive) -> Iterator[None]:
        """While this lasts, keep what is fetched of an archive; nothing of it after a failure.

        Raises StoreFullError unless there is twice the room for it.
        """
        self._sweep()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory).free
        if free < 2 * archive.size:
            raise StoreFullError(self._copies.url, f"{free} bytes for a copy of {archive.size}")
        self._keeping.add(archive.prefix)
        try:
            yield
        except BaseException:
            self._keep_no_more(archive)
            with suppress(StorageError):
                self.forget(archive.prefix)
            raise
        self._keep_no_more(archive)

    def forget(self, prefix: str) -> None:
        """Remove the copy of the archive at `prefix`."""
        for info in list(self._copies.list(f"{prefix}/")):
            self._copies.delete(info.key)

    def _keep_no_more(self, archive: Archive) -> None:
        with self._lock:
            self._keeping.discard(archive.prefix)

    def _sweep(self) -> None:
        before = datetime.now(UTC) - SPOOL_GRACE
        for info in list(self._copies.list("")):
            if info.modified < before:
                self._copies.delete(info.key)
        self._copies.sweep(before=before)
