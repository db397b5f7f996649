"""The host's files, found through a socket."""

from __future__ import annotations

import socket
from pathlib import Path

from runtime.host import seen_by_engine


def test_a_directory_is_seen_through_whoever_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        found = seen_by_engine(str(path), str(tmp_path))
        missing = seen_by_engine(str(path), str(tmp_path / "missing"))

    assert found is not None
    assert found.samefile(tmp_path)
    assert missing is None


def test_without_an_engine_the_path_itself_is_tried(tmp_path: Path) -> None:
    assert seen_by_engine(str(tmp_path / "nobody"), str(tmp_path)) == tmp_path
