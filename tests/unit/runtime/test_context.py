from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from runtime import BuildFailedError, build_context, containerfile_name
from runtime.context import CHUNK_BYTES, secret_members


def members(path: Path, containerfile: str = "") -> dict[str, tarfile.TarInfo]:
    data = b"".join(build_context(path, containerfile=containerfile))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        return {member.name: member for member in archive}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main").write_bytes(b"x" * 1000)
    (tmp_path / "src" / "main").chmod(0o750)
    (tmp_path / "build.log").write_text("log")
    return tmp_path


def test_modes_links_and_directories_are_kept(context: Path) -> None:
    (context / "link").symlink_to("src/main")
    (context / "dangling").symlink_to("/nowhere")
    os.link(context / "src" / "main", context / "src" / "same")
    (context / "src").chmod(0o711)

    found = members(context)

    assert found["src"].isdir()
    assert found["src"].mode == 0o711
    assert found["src/main"].mode == 0o750
    assert found["link"].issym()
    assert found["link"].linkname == "src/main"
    assert found["dangling"].linkname == "/nowhere"
    assert found["src/same"].islnk()
    assert found["src/same"].linkname == "src/main"


def test_content_is_what_the_files_hold(context: Path) -> None:
    big = os.urandom(2 * CHUNK_BYTES + 5)
    (context / "big").write_bytes(big)
    chunks = list(build_context(context))

    assert max(map(len, chunks)) <= CHUNK_BYTES
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks)), mode="r:") as archive:
        content = archive.extractfile("big")
        assert content is not None
        assert content.read() == big


@pytest.mark.parametrize("name", [".containerignore", ".dockerignore"])
def test_ignore_files(context: Path, name: str) -> None:
    (context / name).write_text("# comment\n\n*.log\nsrc/*\n!src/keep\nContainerfile\n")
    (context / "src" / "keep").write_text("")

    found = members(context)

    assert "src/keep" in found
    assert not {"src/main", "build.log"} & set(found)
    assert "Containerfile" in found


def test_podmans_ignore_file_comes_first(context: Path) -> None:
    (context / ".containerignore").write_text("*.log\n")
    (context / ".dockerignore").write_text("src\n")

    found = members(context)

    assert "src/main" in found
    assert "build.log" not in found


def test_another_containerfile_is_sent_although_ignored(context: Path) -> None:
    (context / "deploy").mkdir()
    (context / "deploy" / "web.Containerfile").write_text("FROM scratch\n")
    (context / ".dockerignore").write_text("deploy\n")

    assert "deploy/web.Containerfile" in members(context, "deploy/web.Containerfile")


def test_a_socket_is_left_out(context: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(context / "s"))

        assert "s" not in members(context)


def test_long_and_odd_names(context: Path) -> None:
    name = "ü" * 60 + "x" * 100
    (context / name).write_text("content")

    assert name in members(context)


@pytest.mark.parametrize(
    ("remove", "reason"),
    [(False, "there is no such directory"), (True, "there is no Containerfile or Dockerfile")],
)
def test_what_is_missing_is_named_at_once(tmp_path: Path, remove: bool, reason: str) -> None:
    path = tmp_path if remove else tmp_path / "nowhere"

    with pytest.raises(BuildFailedError, match=reason) as caught:
        build_context(path)

    assert caught.value.image == str(path)


def test_a_containerfile_outside_the_context_is_sent_under_a_name_of_its_own(
    context: Path,
) -> None:
    inner = context / "src"
    outside = context / "Containerfile"

    for spelled in ("../Containerfile", str(outside)):
        name = containerfile_name(inner, spelled)
        assert set(members(inner, spelled)) == {name, "main"}
        assert name == ".podferry.containerfile"
    assert containerfile_name(context, "./src/../Containerfile") == "Containerfile"
    assert containerfile_name(context, "") == ""


def test_an_ignore_file_of_the_containerfiles_own_comes_first(context: Path) -> None:
    (context / ".containerignore").write_text("src\n")
    (context / "Containerfile.dockerignore").write_text("*.log\n")

    found = members(context)

    assert "src/main" in found
    assert "build.log" not in found


def test_secrets_go_before_the_context(context: Path) -> None:
    entries, names = secret_members({"token": "hunter2", "key": "x" * 600})
    data = entries + b"".join(build_context(context))

    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        content = [archive.extractfile(name) for name in names]
        assert [c.read() for c in content if c] == [b"hunter2", b"x" * 600]
        assert archive.getmember(names[0]).mode == 0o600
        assert "Containerfile" in archive.getnames()


def test_a_file_that_shrinks_while_it_is_read_is_an_error(context: Path) -> None:
    chunks = build_context(context)
    for name in ("Containerfile", "build.log", "src/main"):
        (context / name).write_bytes(b"long" * 100)
    next(chunks)
    for name in ("Containerfile", "build.log", "src/main"):
        (context / name).write_bytes(b"")

    with pytest.raises(BuildFailedError, match="shorter"):
        list(chunks)
