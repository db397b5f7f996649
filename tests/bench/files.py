"""Files for the measurements, in memory where there is room."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.objects import Blob

CHUNK_BYTES = 1 << 20
PROVIDED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
MEMORY = Path("/dev/shm")
TEXT = b"the quick brown fox jumps over the lazy dog, time and again... \n"


@contextmanager
def directory(mib: int) -> Iterator[Path]:
    """A directory for files of so many MiB; on the disk where memory has no room for them."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >> 20 > mib
    place = MEMORY if roomy else None
    with tempfile.TemporaryDirectory(prefix="pf-bench-", dir=place) as name:
        yield Path(name)


def provide_memory(mib: int) -> None:
    """Have so much memory at hand: a virtual machine gets it from its host at the first touch.

    That takes longer than to fill it, and whoever writes a file first would pay for the others.
    """
    mmap.mmap(-1, mib << 20, flags=PROVIDED).close()


def random_file(path: Path, mib: int) -> None:
    """A file that does not compress."""
    write(path, (os.urandom(CHUNK_BYTES) for _ in range(mib)))


def mixed_file(path: Path, mib: int) -> None:
    """A file of which every other MiB compresses to next to nothing."""
    text = TEXT * (CHUNK_BYTES // len(TEXT))
    write(path, (text if n % 2 else os.urandom(CHUNK_BYTES) for n in range(mib)))


def chunks(path: Path) -> Iterator[bytes]:
    """A file's content in pieces."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def write(path: Path, content: Iterable[Blob]) -> None:
    """Write a file."""
    with path.open("wb") as file:
        for chunk in content:
            file.write(chunk)
