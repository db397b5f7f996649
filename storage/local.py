"""An object store in a local (or mounted) directory: one file per object."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from storage.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StorageError,
    StoreAccessError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
)
from storage.objects import Blob, ObjectInfo, Result, Take, probe, require_key

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_ON_ITS_WAY = ".put-"
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_PRUNE_RACES = 10


class LocalObjectStore:
    """Keeps each object in a file below `directory`, private to the user (0600 in 0700).

    The directory needs hard links: they make the conditional write atomic.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory.absolute()
        self.url = self._root.as_uri()

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        """See ObjectStore."""
        target = self._path(key)
        with self._translated():
            descriptor, temporary = _open_temporary(target.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if if_absent:
                    _link(temporary, target, key)
                else:
                    temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync(target.parent)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """See ObjectStore."""
        with self._open(key) as file:
            data = file.read(-1 if max_bytes is None else max_bytes + 1)
        if max_bytes is not None and len(data) > max_bytes:
            raise ObjectTooLargeError(key, max_bytes)
        return data

    def stream(self, key: str, take: Take[Result], *, block_bytes: int, max_bytes: int) -> Result:
        """See ObjectStore."""
        with self._open(key) as file:
            if os.fstat(file.fileno()).st_size > max_bytes:
                raise ObjectTooLargeError(key, max_bytes)
            return take(iter(lambda: file.read(block_bytes), b""))

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[BinaryIO]:
        with self._translated():
            try:
                with self._path(key).open("rb") as file:
                    yield file
            except OSError as error:
                if error.errno in _MISSING:
                    raise ObjectNotFoundError(key) from error
                raise

    def exists(self, key: str) -> bool:
        """See ObjectStore."""
        with self._translated():
            return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        parent = prefix.rpartition("/")[0]
        base = self._path(parent) if parent else self._root
        with self._translated():
            for path in _files_below(base):
                key = path.relative_to(self._root).as_posix()
                if not path.name.startswith(".") and key.startswith(prefix):
                    yield from _describe(key, path)

    def delete(self, key: str) -> None:
        """See ObjectStore. Takes the directories along that it leaves empty."""
        path = self._path(key)
        with self._translated():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            self._prune(path)

    def check(self) -> None:
        """See ObjectStore."""
        probe(self)

    def sweep(self, *, before: datetime, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """See ObjectStore. A killed writer leaves a file, hidden beside the object's place."""
        with self._translated():
            found = [
                info
                for path in _files_below(self._root)
                if path.name.startswith(_ON_ITS_WAY)
                for info in _describe(path.relative_to(self._root).as_posix(), path)
                if info.modified < before
            ]
            for path in () if dry_run else (self._root / info.key for info in found):
                path.unlink(missing_ok=True)
                self._prune(path)
        return found

    def close(self) -> None:
        """See ObjectStore."""

    def _prune(self, path: Path) -> None:
        """Remove the directories above `path` that are empty."""
        with contextlib.suppress(OSError):  # not empty, or gone
            for parent in path.relative_to(self._root).parents[:-1]:
                (self._root / parent).rmdir()

    def _path(self, key: str) -> Path:
        return self._root / require_key(key)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the operating system's errors into ours."""
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            if error.errno in _REFUSED:
                raise StoreAccessError(self.url, reason) from error
            if error.errno in _FULL:
                raise StoreFullError(self.url, reason) from error
            raise StoreUnavailableError(self.url, reason) from error


def _open_temporary(directory: Path) -> tuple[int, Path]:
    """Open a file (0600) for an object on its way, in the directory that the object goes to."""
    for _ in range(_PRUNE_RACES):
        # a delete elsewhere may take the still empty directory away
        with contextlib.suppress(FileNotFoundError):
            _make_private(directory)
            descriptor, name = tempfile.mkstemp(prefix=_ON_ITS_WAY, dir=directory)
            return descriptor, Path(name)
    raise FileNotFoundError(errno.ENOENT, "the directory does not stay", str(directory))


def _make_private(directory: Path) -> None:
    """Make the directory and its missing parents, each 0700 and durable."""
    if directory.is_dir():
        return
    _make_private(directory.parent)
    with contextlib.suppress(FileExistsError):  # another thread was faster
        directory.mkdir(mode=0o700)
        _sync(directory.parent)


def _link(temporary: Path, target: Path, key: str) -> None:
    try:
        target.hardlink_to(temporary)
    except FileExistsError as error:
        raise ObjectExistsError(key) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        reason = f"{target.parent} is on a file system without hard links"
        raise StoreConfigError("object store URL", reason) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _describe(key: str, path: Path) -> Iterator[ObjectInfo]:
    with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
        status = path.stat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        yield ObjectInfo(key=key, size=status.st_size, modified=modified)


def _files_below(directory: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(directory, onerror=_raise_unless_missing):
        yield from (Path(parent, name) for name in names)


def _raise_unless_missing(error: OSError) -> None:
    if error.errno not in _MISSING:
        raise error
