from __future__ import annotations

from pathlib import Path

import pytest

from podferry.files import new_file
from tasks.errors import InvalidRequestError


def test_a_file_appears_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "web.tar"
    with new_file(path, overwrite=False) as file:
        file.write(b"memory")
        assert not path.exists()
    assert path.read_bytes() == b"memory"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="damaged"), new_file(tmp_path / "x", overwrite=False):
        raise RuntimeError("damaged")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    path = tmp_path / "web.tar"
    path.write_bytes(b"old")
    with pytest.raises(InvalidRequestError, match="--overwrite"), new_file(path, overwrite=False):
        pytest.fail("it was opened")
    with pytest.raises(RuntimeError), new_file(path, overwrite=True):
        raise RuntimeError
    assert path.read_bytes() == b"old"
    with new_file(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_what_came_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "web.tar"
    with pytest.raises(InvalidRequestError, match="exists"), new_file(path, overwrite=False):
        path.write_bytes(b"somebody else's")
    assert path.read_bytes() == b"somebody else's"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "web.tar"
    with pytest.raises(InvalidRequestError, match="missing"), new_file(path, overwrite=False):
        pytest.fail("it was opened")
