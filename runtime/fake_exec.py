"""Commands in containers of the fake engine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from runtime.errors import ExecFailedError
from runtime.exec_stream import ExecStream
from runtime.fake_state import FakeContainer, FakeState, faulty
from runtime.specs import ContainerState, ExecResult, OutputChunk

Command = Callable[[FakeContainer], ExecResult]


class FakeExec(FakeState):
    """Commands that do what a test says, all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: dict[tuple[str, ...], Command] = {}

    @faulty
    def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        tty: bool = False,
        timeout_seconds: float = 60.0,
    ) -> ExecResult:
        """Do what ``commands`` says."""
        found = self._find(container)
        if found.state is not ContainerState.RUNNING:
            raise ExecFailedError(container, shlex.join(command), "container state improper")
        act = self.commands.get(tuple(command))
        return act(found) if act else ExecResult(exit_code=0, output=b"")

    @faulty
    def exec_stream(
        self,
        container: str,
        command: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        tty: bool = False,
    ) -> ExecStream:
        """Read all of ``stdin`` into the container's, then do what ``commands`` says."""
        self._find(container).stdin = b"".join(stdin or ())
        done = self.exec(container, command)

        def chunks() -> Iterator[OutputChunk]:
            if done.output:
                yield OutputChunk(stream="stdout", data=done.output)

        return ExecStream(
            chunks(),
            lambda: None,
            lambda: done.exit_code,
            container=container,
            line=shlex.join(command),
        )
