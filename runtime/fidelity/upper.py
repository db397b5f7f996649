"""A container's writable layer as it lies in the host's files: overlayfs' upper directory.

It shows what no answer of the engine does: owners (an ``archive`` answer says root for all), hard
links, access control lists, and times below the second. On its marks see the kernel's
Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tarfile import TarInfo

from runtime.fidelity.layer import Entry, Whiteout
from runtime.fidelity.tarstream import XATTR

PIECE_BYTES = 1 << 20
_REDIRECT = "trusted.overlay.redirect"  # a directory of the image that was renamed
_AUFS = ".wh."  # how fuse-overlayfs marks what is gone
_METACOPY = "trusted.overlay.metacopy"  # the file has its new mode and owner here, its content not
_OPAQUE = "trusted.overlay.opaque"
# Overlayfs' own marks, and a label that belongs to the host's policy.
_OF_THE_HOST: tuple[str, ...] = ("security.selinux",)
_OF_THE_LAYER = ("trusted.overlay.", "user.overlay.", *_OF_THE_HOST)
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}  # no sockets: a restored process makes its own again

ReadContent = Callable[[str], Iterator[bytes]]


class NotAllHereError(Exception):
    """A layer that its upper directory alone does not tell."""


class UpperDirectory:
    """Reads a layer below ``path``, never through a symbolic link of the container's making.

    ``read`` gives the content of a path ("/a/b") that the layer itself does not hold. Without it
    the directory is no layer but a volume, in which nothing is a mark.
    """

    def __init__(self, path: Path, read: ReadContent | None) -> None:
        self._path, self._read = path, read
        self._links: dict[int, str] = {}  # inode to its first name, for those with several

    def entries(self) -> Iterator[Entry | Whiteout]:
        """Yield everything but sockets, a directory before what it holds.

        Raises NotAllHereError, at once or on the way.
        """
        with _opened(str(self._path), None, os.O_DIRECTORY) as handle:
            yield self._entry("/", ".", handle, os.fstat(handle))
            yield from self._below(handle, "")

    def _below(self, handle: int, folder: str) -> Iterator[Entry | Whiteout]:
        for name in sorted(os.listdir(handle)):
            status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            path = f"{folder}{name}"
            if name.startswith(_AUFS) and self._read:
                raise NotAllHereError(path)
            if _is_whiteout(status) and self._read:
                yield Whiteout(path="/" + path)
            elif stat.S_IFMT(status.st_mode) in _TYPES:
                yield self._entry(path, name, handle, status)
            if stat.S_ISDIR(status.st_mode):
                with _opened(name, handle, os.O_DIRECTORY) as inner:
                    yield from self._below(inner, f"{path}/")

    def _entry(self, path: str, name: str, handle: int, status: os.stat_result) -> Entry:
        attributes = _attributes(name, handle)
        if _REDIRECT in attributes and self._read:
            raise NotAllHereError(path)
        info = _tar_info(path, status, attributes, _OF_THE_LAYER if self._read else _OF_THE_HOST)
        if stat.S_ISLNK(status.st_mode):
            info.linkname = os.readlink(name, dir_fd=handle)
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            first = path
        else:
            first = self._links.setdefault(status.st_ino, path)
        if first != path:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
        if not info.isreg():
            opaque = attributes.get(_OPAQUE) == b"y" and self._read is not None
            return Entry(info=info, opaque=opaque)
        if _METACOPY in attributes and self._read:
            return Entry(info=info, content=self._read("/" + path))
        return Entry(info=info, content=_file(name, handle, info.size))


def _is_whiteout(status: os.stat_result) -> bool:
    """Whether a path stands for one of the image that was deleted."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _attributes(name: str, handle: int) -> dict[str, bytes]:
    """Read the attributes of ``name`` in the directory ``handle``; of a link, its own."""
    path = f"/proc/self/fd/{handle}/{name}"
    return {
        key: os.getxattr(path, key, follow_symlinks=False)
        for key in os.listxattr(path, follow_symlinks=False)
    }


def _tar_info(
    path: str, status: os.stat_result, attributes: dict[str, bytes], dropped: tuple[str, ...]
) -> TarInfo:
    info = TarInfo(path)
    info.type = _TYPES[stat.S_IFMT(status.st_mode)]
    info.mode, info.uid, info.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    info.size = status.st_size if info.isreg() else 0
    info.mtime = status.st_mtime_ns // 10**9
    info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    info.pax_headers = {
        XATTR + key: value.decode("utf-8", "surrogateescape")
        for key, value in attributes.items()
        if not key.startswith(dropped)
    }
    if fraction := status.st_mtime_ns % 10**9:
        info.pax_headers["mtime"] = f"{info.mtime}.{fraction:09d}"
    return info


def _file(name: str, handle: int, size: int) -> Iterator[bytes]:
    with _opened(name, handle, 0) as file:
        while piece := os.read(file, min(size, PIECE_BYTES)):  # no more, should it grow
            size -= len(piece)
            yield piece


@contextmanager
def _opened(name: str, handle: int | None, flags: int) -> Iterator[int]:
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=handle)
    try:
        yield opened
    finally:
        os.close(opened)
