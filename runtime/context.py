"""A build context as a tar stream, without what its ignore file excludes."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePath

from docker.utils.build import exclude_paths

from runtime.errors import BuildFailedError

CHUNK_BYTES = 1 << 20
CONTAINERFILES = ("Containerfile", "Dockerfile")
IGNORE_FILES = (".containerignore", ".dockerignore")  # Podman reads the first that is there
OUTSIDE_NAME = ".podferry.containerfile"  # of one that lies outside the context
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)


def build_context(path: Path, *, containerfile: str = "") -> Iterator[bytes]:
    """Stream the directory ``path`` as a tar in pieces of at most CHUNK_BYTES.

    Modes, symbolic and hard links are kept, sockets left out. ``containerfile`` is relative to
    ``path``, may lie outside it (BuildSpec then wants ``containerfile_name``), and is always sent,
    whatever the ignore file says; empty means Containerfile, else Dockerfile. A file beside it
    named like it plus ``.containerignore`` or ``.dockerignore`` is used instead of the context's.
    Raises BuildFailedError, before the first piece, naming what is missing.
    """
    if not path.is_dir():
        raise BuildFailedError(str(path), "there is no such directory")
    candidates = (containerfile,) if containerfile else CONTAINERFILES
    found = next((name for name in candidates if (path / name).is_file()), None)
    if found is None:
        raise BuildFailedError(str(path), f"there is no {' or '.join(candidates)} in it")
    name = containerfile_name(path, found)
    names = exclude_paths(path, _ignore_patterns(path, path / found), dockerfile=name)
    members = {name: path / name for name in sorted(names)}
    return _tar(members | {name: path / found})


def containerfile_name(path: Path, containerfile: str) -> str:
    """Return how a build is told of ``containerfile``: its path in the context's tar."""
    if not containerfile:
        return ""
    inside = PurePath(os.path.relpath(path / containerfile, path))
    return OUTSIDE_NAME if inside.parts[0] == os.pardir else str(inside)


def secret_members(secrets: dict[str, str]) -> tuple[bytes, list[str]]:
    """Return tar entries that go before a context, and the names that they have there, in order.

    Podman moves files that a build names as secrets out of the context before it looks at it.
    """
    entries, names = b"", []
    for number, content in enumerate(secrets.values()):
        data = content.encode()
        member = tarfile.TarInfo(f"podman-build-secret-{number}")
        member.size, member.mode = len(data), 0o600
        entries += member.tobuf() + data + bytes(-len(data) % tarfile.BLOCKSIZE)
        names.append(member.name)
    return entries, names


def _ignore_patterns(path: Path, containerfile: Path) -> list[str]:
    of_its_own = [containerfile.with_name(containerfile.name + name) for name in IGNORE_FILES]
    of_the_context = [path / name for name in IGNORE_FILES]
    ignore = next((file for file in of_its_own + of_the_context if file.is_file()), None)
    lines = ignore.read_text().splitlines() if ignore else []
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]


def _tar(members: dict[str, Path]) -> Iterator[bytes]:
    with tarfile.open(fileobj=BytesIO(), mode="w") as describer:  # knows links from files
        for name, file in members.items():
            if file.is_socket():
                continue
            member = describer.gettarinfo(file, arcname=name)
            member.mtime = int(member.mtime)
            yield member.tobuf(tarfile.PAX_FORMAT)
            if member.isreg():
                yield from _content(file, member.size)
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
