from __future__ import annotations

import struct
from pathlib import Path

import pytest

from runtime import DockerRuntime, ExecFailedError
from runtime.executing import START_TRIES
from tests.unit.runtime.server import Answer, document, engine

CUT_SHORT = (
    "Error: runc: exec failed: unable to start container process: waiting for init preliminary "
    "setup: read init-p: connection reset by peer: OCI runtime error"
)
MISSING = (
    "Error: runc: exec failed: unable to start container process: exec: no such file or directory: "
    "OCI runtime attempted to invoke a command that was not found"
)


class Sessions:
    """An engine whose sessions say these words, one after the other; the last says "done"."""

    def __init__(self, *complaints: str) -> None:
        self.complaints = complaints
        self.begun = 0

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if path.endswith("/containers/web/exec"):
            self.begun += 1
            return document({"Id": str(self.begun)}, 201)
        number = int(path.split("/exec/")[1].partition("/")[0]) - 1
        failed = number < len(self.complaints)
        if method == "GET":
            return document({"ExitCode": 126 if failed else 0})
        said = (self.complaints[number] if failed else "done").encode()
        return 200, struct.pack(">BxxxL", 2 if failed else 1, len(said)) + said


def test_a_start_that_the_engine_lost_is_made_again(tmp_path: Path) -> None:
    sessions = Sessions(CUT_SHORT, CUT_SHORT)
    with engine(tmp_path / "socket", sessions) as socket:
        done = DockerRuntime(socket=socket).exec("web", ["true"])
    assert (done.exit_code, done.output, sessions.begun) == (0, b"done", 3)


@pytest.mark.parametrize(
    ("complaints", "begun"), [((MISSING,), 1), ((CUT_SHORT,) * START_TRIES, START_TRIES)]
)
def test_what_cannot_start_is_said(tmp_path: Path, complaints: tuple[str, ...], begun: int) -> None:
    sessions = Sessions(*complaints)
    with (
        engine(tmp_path / "socket", sessions) as socket,
        pytest.raises(ExecFailedError, match="unable to start container process"),
    ):
        DockerRuntime(socket=socket).exec("web", ["true"])
    assert sessions.begun == begun
