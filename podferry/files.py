"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.errors import InvalidRequestError


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """A file to write, private to its owner, that is at ``path`` once the block ends well.

    Raises InvalidRequestError when something is there already, unless it may be overwritten, and
    for whatever else the file system refuses, in the block too.
    """
    if not overwrite and path.exists():
        raise _exists(path)
    try:
        # beside the target, for a rename works within one file system only
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                temporary.replace(path)
            else:
                path.hardlink_to(temporary)  # unlike a rename it refuses what came meanwhile
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise InvalidRequestError(f"cannot write {path}: {error.strerror}") from error


def _exists(path: Path) -> InvalidRequestError:
    return InvalidRequestError(f"{path} exists already; name another file, or add --overwrite")
