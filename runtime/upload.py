"""Request bodies that come from an iterator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class UploadCutError(Exception):
    """Ends a request whose body could not be produced; never leaves this package.

    It is no OSError on purpose: urllib3 takes a broken pipe or a reset connection in a body for
    the server's doing and then waits for an answer that cannot come.
    """


class Upload:
    """A chunked body; an exception of its source cuts the request and is kept in ``error``."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.started = False
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        self.started = True
        try:
            yield from self._chunks
        except Exception as error:
            self.error = error
            raise UploadCutError from error
