"""The archive of a stopped container, and files that a new one must not have."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from runtime.fidelity import cold_archive, remove_below
from runtime.fidelity.layer import Entry, Whiteout, written
from runtime.fidelity.rewrite import Layer
from tests.unit.runtime.fidelity.tars import contents, infos, member

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def layer() -> Layer:
    info, content = member("etc/motd", b"new")
    return written([Entry(info=info, content=(content,)), Whiteout(path="/gone")], io.BytesIO())


def archived(volume: Path) -> bytes:
    return b"".join(cold_archive(layer(), {"data": volume}))


def test_the_layer_comes_first_and_no_memory_at_all(tmp_path: Path) -> None:
    archive = archived(tmp_path)
    found = contents(archive)
    assert list(found) == ["rootfs-diff.tar", "deleted.files", "volumes/data.tar"]
    assert contents(found["rootfs-diff.tar"]) == {"etc/motd": b"new"}
    assert json.loads(found["deleted.files"]) == ["/gone"]


def test_it_ends_as_a_tar_does_even_when_empty() -> None:
    assert infos(b"".join(cold_archive(Layer(entries=io.BytesIO(), size=0), {}))) == []


@ONLY_ROOT
def test_a_volume_is_itself_whatever_would_be_a_mark_in_a_layer(tmp_path: Path) -> None:
    tmp_path.chmod(0o2750)
    os.chown(tmp_path, 12, 34)
    (tmp_path / ".wh.file").write_bytes(b"a name like another")
    os.mknod(tmp_path / "device", 0o20600, os.makedev(0, 0))
    (tmp_path / "inner").mkdir()
    os.setxattr(tmp_path / "inner", "trusted.overlay.opaque", b"y")
    os.setxattr(tmp_path / "inner", "trusted.overlay.redirect", b"/x")

    volume = contents(archived(tmp_path))["volumes/data.tar"]

    root, named, device, inner = infos(volume)
    assert (root.mode, root.uid, root.gid) == (0o2750, 12, 34)
    assert (named.name, contents(volume)[".wh.file"]) == (".wh.file", b"a name like another")
    assert (device.name, device.type) == ("device", tarfile.CHRTYPE)
    assert inner.pax_headers["SCHILY.xattr.trusted.overlay.opaque"] == "y"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_given_up_early_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    before = open_files()
    chunks = cold_archive(layer(), {"data": tmp_path})
    while b"volumes/" not in next(chunks):
        pass
    chunks.close()
    assert open_files() == before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system beside something precious, with links that lead there."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "f").touch()
    root = tmp_path / "root"
    for folder in ("d", "d/inner"):
        (root / folder).mkdir(parents=True)
        (root / folder / "f").touch()
    (root / "link").symlink_to(tmp_path / "precious")
    (root / "d" / "odd\udcff").touch()
    return root


def test_files_links_and_whole_directories_are_removed(root: Path) -> None:
    remove_below(root, ["/d/inner", "/d/odd\udcff", "/link"])
    assert sorted(p.name for p in root.rglob("*")) == ["d", "f"]
    assert (root.parent / "precious" / "f").exists()


def test_what_is_not_there_is_no_error(root: Path) -> None:
    before = sorted(root.rglob("*"))
    remove_below(root, ["/nothing", "/no/such", "/d/f/below", "/"])
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("path", ["/link/f", "/../precious/f", "/d/../../precious/f"])
def test_nothing_outside_is_reached(root: Path, path: str) -> None:
    remove_below(root, [path])
    assert (root.parent / "precious" / "f").exists()


def test_the_directory_keeps_its_time(root: Path) -> None:
    os.utime(root / "d", (1, 1))
    remove_below(root, ["/d/f"])
    assert not (root / "d" / "f").exists()
    assert (root / "d").stat().st_mtime == 1
