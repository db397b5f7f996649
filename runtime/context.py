"""A build context as a tar stream, without what its ignore file excludes."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from docker.utils.build import exclude_paths

from runtime.errors import BuildFailedError

CHUNK_BYTES = 1 << 20
CONTAINERFILES = ("Containerfile", "Dockerfile")
IGNORE_FILES = (".containerignore", ".dockerignore")  # Podman reads the first that is there
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)


def build_context(path: Path, *, containerfile: str = "") -> Iterator[bytes]:
    """Stream the directory ``path`` as a tar in pieces of at most CHUNK_BYTES.

    Modes, symbolic and hard links are kept, sockets left out. ``containerfile`` is relative to
    ``path`` and always sent, whatever the ignore file says; empty means Containerfile, else
    Dockerfile. Raises BuildFailedError, before the first piece, naming what is missing.
    """
    if not path.is_dir():
        raise BuildFailedError(str(path), "there is no such directory")
    candidates = (containerfile,) if containerfile else CONTAINERFILES
    found = next((name for name in candidates if (path / name).is_file()), None)
    if found is None:
        raise BuildFailedError(str(path), f"there is no {' or '.join(candidates)} in it")
    names = exclude_paths(path, _ignore_patterns(path), dockerfile=found)
    return _tar(path, sorted(names))


def _ignore_patterns(path: Path) -> list[str]:
    ignore = next((path / name for name in IGNORE_FILES if (path / name).is_file()), None)
    lines = ignore.read_text().splitlines() if ignore else []
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]


def _tar(root: Path, names: list[str]) -> Iterator[bytes]:
    with tarfile.open(fileobj=BytesIO(), mode="w") as describer:  # knows links from files
        for name in names:
            if (root / name).is_socket():
                continue
            member = describer.gettarinfo(root / name, arcname=name)
            member.mtime = int(member.mtime)
            yield member.tobuf(tarfile.PAX_FORMAT)
            if member.isreg():
                yield from _content(root / name, member.size)
    yield _END_OF_ARCHIVE


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Yield exactly ``size`` bytes of a file and fill up the last block."""
    with path.open("rb") as file:
        left = size
        while left:
            chunk = file.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise BuildFailedError(str(path), "it became shorter while it was read")
            left -= len(chunk)
            yield chunk
    yield bytes(-size % tarfile.BLOCKSIZE)
