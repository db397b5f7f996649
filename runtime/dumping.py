"""What a failure means once a container may be stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tarfile import TarError

from runtime.errors import (
    CheckpointFailedError,
    EngineError,
    EngineUnavailableError,
    OutOfSightError,
)


@contextmanager
def checkpoint_errors(container: str) -> Iterator[None]:
    """From the request on, a lost connection is a failed checkpoint: it may have been made."""
    try:
        yield
    except (EngineError, EngineUnavailableError) as error:
        raise CheckpointFailedError(container, error.reason) from error
    except (
        TarError,
        OSError,
        OutOfSightError,
    ) as error:  # an archive that cannot be completed has lost something
        raise CheckpointFailedError(container, str(error)) from error


def failing_as_checkpoint(chunks: Iterator[bytes], container: str) -> Iterator[bytes]:
    """Yield the chunks; what they raise is a failed checkpoint."""
    while True:
        with checkpoint_errors(container):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
