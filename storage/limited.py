"""A limit on what a worker sends to the object store and receives from it."""

import fcntl
import mmap
import os
import struct
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from datetime import datetime

from storage.objects import Blob, ObjectInfo, ObjectStore, Result, Take

# One turn at the link. Short, so that a manifest passes between the pieces of a part, and a writer
# that dies has kept the link from the others for no longer.
_TURN_SECONDS = 0.1
_MOMENT = struct.Struct("d")


def limit_bandwidth(objects: ObjectStore, bytes_per_second: int) -> ObjectStore:
    """The same store, puts and gets together no faster than `bytes_per_second` on average.

    The limit holds for all threads of this process and for the processes forked from it, as those
    of a worker are. A part is one piece on the wire: it is paid for before it is sent, and block by
    block as it is received. Raises ValueError for a limit below one byte.
    """
    return _LimitedObjectStore(objects, Bandwidth(bytes_per_second))


class Bandwidth:
    """A token bucket without a burst: the moment from when on the link is free again.

    That moment is shared with forked children. A file lock guards it, because the kernel takes it
    from a child that is killed while it holds it.
    """

    def __init__(self, bytes_per_second: int) -> None:
        if bytes_per_second < 1:
            raise ValueError(f"a limit of {bytes_per_second} bytes per second lets nothing pass")
        self._rate = bytes_per_second
        self._turn_bytes = max(1, int(bytes_per_second * _TURN_SECONDS))
        self._file = os.memfd_create("bandwidth")
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, _MOMENT.size)
        self._shared = mmap.mmap(self._file, _MOMENT.size)
        self._threads = threading.Lock()  # a file lock is a process's, whatever the thread

    def take(self, count: int) -> None:
        """Return when `count` bytes may pass."""
        while count > 0:
            turn = min(count, self._turn_bytes)
            count -= turn
            time.sleep(self._reserve(turn / self._rate))

    def _reserve(self, seconds: float) -> float:
        """Take the next `seconds` of the link; return how long it is until they are over."""
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                now = time.monotonic()  # the same clock in all processes of a host
                free_from: float = _MOMENT.unpack(self._shared[:])[0]
                over = max(now, free_from) + seconds
                self._shared[:] = _MOMENT.pack(over)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
        return over - now


class _LimitedObjectStore:
    def __init__(self, objects: ObjectStore, bandwidth: Bandwidth) -> None:
        self._objects = objects
        self._bandwidth = bandwidth

    @property
    def url(self) -> str:
        return self._objects.url

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        self._bandwidth.take(memoryview(data).nbytes)
        self._objects.put(key, data, if_absent=if_absent)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        return self._paid(self._objects.get(key, max_bytes=max_bytes))

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        def paid(blocks: Iterator[bytes]) -> Result:
            return take(map(self._paid, blocks))

        return self._objects.stream(key, paid, block_bytes=block_bytes, max_bytes=max_bytes)

    def exists(self, key: str) -> bool:
        return self._objects.exists(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._objects.list(prefix)

    def delete(self, key: str) -> None:
        self._objects.delete(key)

    def check(self) -> None:
        self._objects.check()

    def sweep(self, *, before: datetime, dry_run: bool = False) -> Sequence[ObjectInfo]:
        return self._objects.sweep(before=before, dry_run=dry_run)

    def close(self) -> None:
        self._objects.close()

    def _paid(self, data: bytes) -> bytes:
        self._bandwidth.take(len(data))
        return data
