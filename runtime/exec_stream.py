"""A command that is running in a container."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runtime.errors import ExecFailedError
from runtime.executing import never_started
from runtime.specs import OutputChunk
from runtime.streams import Stream

COMPLAINT_BYTES = 4096  # an engine's complaint is shorter


class ExecStream(Stream[OutputChunk]):
    """What a command says, as it says it; ``exit_code`` once that has ended.

    Closing it hangs up: the command's output is lost from then on, the command goes on.
    """

    def __init__(
        self,
        chunks: Iterator[OutputChunk],
        hang_up: Callable[[], None],
        exit_code: Callable[[], int],
        *,
        container: str,
        line: str,
    ) -> None:
        super().__init__(self._watched(chunks), hang_up)
        self._ask = exit_code
        self._at = (container, line)
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int:
        """The command's exit code. Raises ExecFailedError before its output has ended."""
        if self._exit_code is None:
            raise ExecFailedError(*self._at, "its output was not read to the end")
        return self._exit_code

    def _watched(self, chunks: Iterator[OutputChunk]) -> Iterator[OutputChunk]:
        """Pass everything on, but an engine's complaint in place of a command as an error."""
        beginning = b""
        for chunk in chunks:
            beginning += chunk.data[: COMPLAINT_BYTES - len(beginning)]
            yield chunk
        exit_code = self._ask()
        if never_started(exit_code, beginning):
            raise ExecFailedError(*self._at, beginning.decode(errors="replace").strip())
        self._exit_code = exit_code
