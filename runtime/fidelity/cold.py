"""The files of a stopped container as an archive, and what of them a new one must not have."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from runtime.fidelity.collecting import temporary_directory
from runtime.fidelity.layer import written
from runtime.fidelity.rewrite import Layer, layer_members, tar_member
from runtime.fidelity.tarstream import END
from runtime.fidelity.upper import UpperDirectory


def cold_archive(layer: Layer, volumes: Mapping[str, Path]) -> Generator[bytes, None, None]:
    """Yield a checkpoint's archive that has no memory: the layer first, then the volumes.

    Each volume is written to a temporary file before its first byte: its size has to be known.
    """
    yield from layer_members(layer)
    for name, place in volumes.items():
        with tempfile.TemporaryFile(dir=temporary_directory()) as entries:
            files = written(UpperDirectory(place, None).entries(), entries)
            yield from tar_member(f"volumes/{name}.tar", files)
    yield END


def remove_below(root: Path, paths: Iterable[str]) -> None:
    """Remove these paths ("/a/b") below ``root``, never through a symbolic link.

    Absent ones are no error. The directory that holds one keeps its time.
    """
    for path in paths:
        *folders, name = PurePosixPath(path).parts[1:] or ("",)
        if name and ".." not in (*folders, name):
            with suppress(FileNotFoundError, NotADirectoryError), _folder(root, folders) as handle:
                _remove(name, handle)


def _remove(name: str, handle: int) -> None:
    before = os.fstat(handle)
    if stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=handle)
    else:
        os.unlink(name, dir_fd=handle)
    os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextmanager
def _folder(root: Path, names: Iterable[str]) -> Iterator[int]:
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)
