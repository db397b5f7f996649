"""A layer read from files, as overlayfs would have left them."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.fidelity.layer import Entry, Whiteout, written
from runtime.fidelity.tarstream import XATTR
from runtime.fidelity.upper import NotAllHereError, UpperDirectory
from tests.unit.runtime.fidelity.tars import contents

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="overlayfs' marks need root")


def elsewhere(path: str) -> Iterator[bytes]:
    yield f"content of {path}".encode()


def entries(path: Path) -> dict[str, Entry]:
    found = UpperDirectory(path, elsewhere).entries()
    return {entry.info.name: entry for entry in found if isinstance(entry, Entry)}


def test_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(0o750)
    (tmp_path / "d" / "f").write_bytes(b"text")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "to-a-directory").symlink_to("d")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))  # the restored process makes it again

        found = entries(tmp_path)

    assert list(found) == ["/", "d", "d/f", "dangling", "pipe", "to-a-directory"]
    assert found["d"].info.isdir()
    assert found["d"].info.mode == 0o750
    assert found["dangling"].info.linkname == "nowhere"
    assert found["to-a-directory"].info.issym()
    assert found["pipe"].info.isfifo()


def test_content_links_and_times(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(0, 1_700_000_000_123_456_789))
    file = io.BytesIO()

    written(UpperDirectory(tmp_path, elsewhere).entries(), file)

    found = entries(tmp_path)
    assert contents(file.getvalue() + bytes(1024))["a"] == b"text"
    assert found["b"].info.islnk()
    assert found["b"].info.linkname == "a"
    assert found["a"].info.pax_headers["mtime"] == "1700000000.123456789"


def test_what_a_link_points_to_is_never_read(tmp_path: Path) -> None:
    """A container's root could otherwise read the host's files through a link of its own."""
    (tmp_path / "secret").write_bytes(b"the host's")
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "f").write_bytes(b"12345")
    entry = entries(upper)["f"]
    (upper / "f").unlink()
    (upper / "f").symlink_to(tmp_path / "secret")

    with pytest.raises(OSError, match="f"):
        list(entry.content)


@ONLY_ROOT
def test_overlayfs_marks(tmp_path: Path) -> None:
    os.mknod(tmp_path / "gone", 0o020000, os.makedev(0, 0))
    (tmp_path / "again").mkdir()
    os.setxattr(tmp_path / "again", "trusted.overlay.opaque", b"y")
    (tmp_path / "chown").write_bytes(bytes(17))
    os.setxattr(tmp_path / "chown", "trusted.overlay.metacopy", b"")
    os.setxattr(tmp_path / "chown", "user.note", b"\xff\0")

    found = {
        entry.path if isinstance(entry, Whiteout) else entry.info.name: entry
        for entry in UpperDirectory(tmp_path, elsewhere).entries()
    }

    assert isinstance(found["/gone"], Whiteout)
    again, chown = found["again"], found["chown"]
    assert isinstance(again, Entry)
    assert again.opaque
    assert again.info.pax_headers.keys() <= {"mtime"}
    assert isinstance(chown, Entry)
    assert b"".join(chown.content) == b"content of /chown"
    assert chown.info.pax_headers[XATTR + "user.note"] == "\udcff\0"


def test_marks_of_another_driver_are_not_taken_for_files(tmp_path: Path) -> None:
    (tmp_path / ".wh.gone").touch()

    with pytest.raises(NotAllHereError):
        entries(tmp_path)


@ONLY_ROOT
def test_a_renamed_directory_of_the_image_is_not_all_here(tmp_path: Path) -> None:
    (tmp_path / "renamed").mkdir()
    os.setxattr(tmp_path / "renamed", "trusted.overlay.redirect", b"old")

    with pytest.raises(NotAllHereError, match="renamed"):
        entries(tmp_path)
