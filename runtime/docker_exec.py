"""Commands in containers of a Docker-compatible engine."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from tenacity import retry, retry_if_exception, stop_after_attempt
from urllib3.exceptions import ReadTimeoutError

from runtime.connection import EngineConnection
from runtime.conversing import Conversation
from runtime.errors import ContainerNotFoundError, EngineError, ExecFailedError
from runtime.exec_stream import ExecStream
from runtime.executing import (
    START_TRIES,
    cut_short,
    demultiplex,
    from_terminal,
    never_started,
    read_before,
)
from runtime.reaching import CONNECT_SECONDS
from runtime.specs import ExecResult
from runtime.translate import checked


class DockerExec(EngineConnection):
    """The commands of the standard surface."""

    @retry(retry=retry_if_exception(cut_short), stop=stop_after_attempt(START_TRIES), reraise=True)
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
        """Run a command to its end as the container's user.

        Raises ExecFailedError if it cannot start or does not end in time; in the latter case it
        goes on running: no engine can end one command of a container.
        """
        line = shlex.join(command)
        with self._exec_errors(container, line):
            session = self._session(
                container, command, user=user, env=env, workdir=workdir, tty=tty, stdin=False
            )
            try:
                output = self._exec_output(session, timeout_seconds, tty=tty)
            except TimeoutError as error:
                reason = f"it did not end within {timeout_seconds:g} s"
                raise ExecFailedError(container, line, reason) from error
            exit_code = self._exit_code(session)
        if never_started(exit_code, output):
            raise ExecFailedError(container, line, output.decode(errors="replace").strip())
        return ExecResult(exit_code=exit_code, output=output)

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
        """Run a command and stream what it says; see Runtime."""
        line = shlex.join(command)
        with self._exec_errors(container, line):
            session = self._session(
                container,
                command,
                user=user,
                env=env,
                workdir=workdir,
                tty=tty,
                stdin=stdin is not None,
            )
            url = f"/v{self._api.api_version}/exec/{session}/start"
            body = {"Detach": False, "Tty": tty}
            talk = Conversation(self.socket, url, body, operation=f"exec of {line}")
        if stdin is not None:
            talk.send(stdin)

        def exit_code() -> int:
            with self._exec_errors(container, line):
                return self._exit_code(session)

        chunks = (from_terminal if tty else demultiplex)(talk.received())
        return ExecStream(chunks, talk.close, exit_code, container=container, line=line)

    def _session(
        self,
        container: str,
        command: Sequence[str],
        *,
        user: str,
        env: Mapping[str, str] | None,
        workdir: str,
        tty: bool,
        stdin: bool,
    ) -> str:
        created = self._api.exec_create(
            container,
            list(command),
            user=user,
            environment=dict(env or {}),
            workdir=workdir or None,
            tty=tty,
            stdin=stdin,
        )
        return str(created["Id"])

    def _exec_output(self, session: str, timeout_seconds: float, *, tty: bool) -> bytes:
        response = self._api.post(
            self._url(f"/exec/{session}/start"),
            json={"Detach": False, "Tty": tty},
            stream=True,
            timeout=(CONNECT_SECONDS, timeout_seconds),
        )
        with closing(checked(response)):
            chunks = read_before(response.raw, timeout_seconds)
            try:
                read = from_terminal(chunks) if tty else demultiplex(chunks)
                return b"".join(chunk.data for chunk in read)
            except ReadTimeoutError as error:
                raise TimeoutError from error

    def _exit_code(self, session: str) -> int:
        return int(self._api.exec_inspect(session)["ExitCode"])

    @contextmanager
    def _exec_errors(self, container: str, line: str) -> Iterator[None]:
        known = {"no such container": ContainerNotFoundError(container)}
        try:
            with self._translating(f"exec of {line}", known):
                yield
        except EngineError as error:
            raise ExecFailedError(container, line, error.reason) from error
