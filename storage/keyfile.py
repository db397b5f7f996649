"""Keys in a file, which every host of an installation has a copy of."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from storage.errors import KeyFileError
from storage.keys import KEY_BYTES, UNENCRYPTED, Key, find_key
from storage.records import Record, first_reason


class _Content(Record, extra="forbid"):
    version: Literal[1] = 1
    keys: Annotated[tuple[Key, ...], Field(min_length=1)]


class KeyFile:
    """The keys in a JSON file that only its owner may read; the last is the current one.

    It is read again at each use, so that a rotated or a copied one counts at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def current(self) -> Key:
        """See Keyring."""
        return self.keys()[-1]

    def find(self, key_id: str) -> Key:
        """See Keyring."""
        return find_key(self.keys(), key_id, f"key file {self.path}")

    def keys(self) -> tuple[Key, ...]:
        """All keys, oldest first. Raises KeyFileError."""
        try:
            keys = _Content.model_validate_json(self._read()).keys
        except ValidationError as error:
            # the cause would show the file's content
            raise KeyFileError(str(self.path), first_reason(error)) from None
        if len({key.id for key in (*keys, UNENCRYPTED.current())}) <= len(keys):
            raise KeyFileError(str(self.path), "two keys have one id, or one is called none")
        return keys

    def create(self) -> bool:
        """Make the file, with one key, unless it is there; whether it was made.

        Raises KeyFileError.
        """
        with self._locked():
            missing = not self.path.exists()
            if missing:
                self._write((_new_key(),))
        return missing

    def add(self) -> Key:
        """Add a key and make it the current one; a missing file is made. Raises KeyFileError."""
        with self._locked():
            key = _new_key()
            self._write((*(self.keys() if self.path.exists() else ()), key))
        return key

    def _read(self) -> bytes:
        with self._translated(), self.path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                reason = f"its mode {mode:04o} lets others read it; type: chmod 600 {self.path}"
                raise KeyFileError(str(self.path), reason)
            return file.read()

    def _write(self, keys: tuple[Key, ...]) -> None:
        """Replace the file as a whole, durably."""
        target = self.path.resolve()  # a link stays one
        descriptor, name = tempfile.mkstemp(prefix=".", dir=target.parent)  # with mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                if target.exists() and os.geteuid() == 0:
                    # rotated by root, a service's file stays the service's
                    os.fchown(descriptor, target.stat().st_uid, target.stat().st_gid)
                file.write(_Content(keys=keys).model_dump_json(indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time: of two new keys at once, one would be lost."""
        with self._translated():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                yield
            finally:
                os.close(directory)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the operating system's errors into ours."""
        try:
            yield
        except FileNotFoundError as error:
            reason = "it does not exist; copy it from another host, or type: podferry keys new"
            raise KeyFileError(str(self.path), reason) from error
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise KeyFileError(str(self.path), reason) from error


def _new_key() -> Key:
    now = datetime.now(UTC).replace(microsecond=0)
    return Key(
        id=f"{now:%Y%m%d}-{secrets.token_hex(4)}",
        created=now,
        secret=secrets.token_bytes(KEY_BYTES),
    )
