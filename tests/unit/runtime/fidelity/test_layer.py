"""A layer as a tar, from made-up entries and from an export."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from tarfile import TarInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.fidelity.layer import Entry, Kind, Whiteout, exported, written
from runtime.fidelity.tarstream import XATTR
from tests.unit.runtime.fidelity.tars import contents, folder, infos, member, tar

DEFAULT = {XATTR + "system.posix_acl_default": "list", XATTR + "user.note": "n"}


def as_tar(layer: Iterable[Entry | Whiteout]) -> tuple[bytes, tuple[str, ...]]:
    file = io.BytesIO()
    made = written(layer, file)
    assert made.size == len(file.getvalue())
    return file.getvalue() + bytes(1024), made.deleted


def entry(made: tuple[TarInfo, bytes], *, opaque: bool = False) -> Entry:
    info, content = made
    return Entry(info=info, content=[content] if content else [], opaque=opaque)


def test_entries_become_a_tar_and_whiteouts_a_list() -> None:
    files = [entry(folder("/")), entry(member("a", b"x" * 700))]

    made, deleted = as_tar([*files, Whiteout(path="/b"), Whiteout(path="/c")])

    assert contents(made) == {"": b"", "a": b"x" * 700}
    assert deleted == ("/b", "/c")


def test_an_opaque_directory_comes_after_a_file_that_takes_its_place() -> None:
    made, _ = as_tar([entry(folder("d", mode=0o700), opaque=True), entry(member("d/f", b"x"))])

    assert [(info.name, info.type) for info in infos(made)] == [
        ("d", tarfile.REGTYPE),
        ("d", tarfile.DIRTYPE),
        ("d/f", tarfile.REGTYPE),
    ]


def test_a_default_access_list_comes_when_nothing_can_inherit_it_any_more() -> None:
    made, _ = as_tar([entry(folder("d", pax_headers=DEFAULT)), entry(member("d/f", b"x"))])

    first, _, last = infos(made)
    assert first.pax_headers == {XATTR + "user.note": "n"}
    assert (last.name, last.pax_headers) == ("d", DEFAULT)


def test_a_file_that_changes_while_it_is_read_is_an_error() -> None:
    info, _ = member("grows", b"12")

    with pytest.raises(tarfile.ReadError, match="/grows has 3 bytes instead of 2"):
        as_tar([Entry(info=info, content=[b"123"])])


NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=80
).filter(lambda name: name not in (".", ".."))


@given(st.dictionaries(NAMES, st.binary(max_size=1200)))
def test_any_files_come_out_as_they_went_in(files: dict[str, bytes]) -> None:
    made, _ = as_tar(entry(member(name, content)) for name, content in files.items())

    found = contents(made)
    assert {name.rstrip("/"): content for name, content in files.items()} == found


EXPORT = tar(
    folder("bin"),
    member("bin/sh", b"shell"),
    folder("etc", uid=5),
    member("etc/motd", b"new", uid=7),
    member("etc/other", b"of the image"),
    folder("srv"),
    member("srv/f", b"again"),
    member("new", b"n"),
    member("linked", type=tarfile.LNKTYPE, linkname="new"),
    member("\udcff", b"odd"),
)
CHANGES = {
    "/etc/motd": Kind.MODIFIED,
    "/srv": Kind.DELETED,
    "/srv/f": Kind.MODIFIED,
    "/gone": Kind.DELETED,
    "/new": Kind.ADDED,
    "/linked": Kind.ADDED,
    "/\ufffd": Kind.ADDED,  # as Go's JSON has it
}


def test_the_layer_is_picked_out_of_an_export() -> None:
    made, deleted = as_tar(exported([EXPORT], CHANGES))

    assert deleted == ("/gone",)
    told = {info.name: info for info in infos(made)}
    assert list(told) == ["etc", "etc/motd", "srv", "srv/f", "new", "linked", "\udcff"]
    assert (told["etc"].uid, told["etc/motd"].uid, told["linked"].linkname) == (5, 7, "new")


def test_a_directory_that_was_made_again_is_emptied_first() -> None:
    layer = exported([EXPORT], CHANGES)

    opaque = [found.info.name for found in layer if isinstance(found, Entry) and found.opaque]

    assert opaque == ["srv"]
