"""The archive's transformation, on made-up archives in made-up pieces."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.fidelity.rewrite import Layer, completed
from tests.unit.runtime.fidelity.tars import contents, cut, folder, infos, member, tar

# frozen for 93 600 µs, 34 pages written
STATS = bytes.fromhex("405910550633095708000000" + "0a0610a0db0538" + "22")
VOLUME = tar(folder(".", mode=0o2751, uid=3, gid=4), member("./v", b"kept"))
ARCHIVE = tar(
    folder("artifacts"),
    member("devshm-checkpoint.tar", tar(folder("./", mode=0o1700))),
    member("config.dump", b"{}"),
    member("stats-dump", STATS),
    folder("checkpoint"),
    member("checkpoint/pages-1.img", b"m" * 5000),
    member("volumes/data.tar", VOLUME),
    member("volumes/" + "x" * 120 + ".tar", VOLUME),
    member("volumes/empty.tar", b""),
)
ENTRIES = tar(member("etc/motd", b"changed"), folder("srv", uid=7))[:-1024]


def layer(entries: bytes = ENTRIES, deleted: tuple[str, ...] = ("/gone",)) -> Layer:
    return Layer(entries=io.BytesIO(entries), size=len(entries), deleted=deleted)


def through(archive: bytes, made: Layer | None = None) -> bytes:
    return b"".join(completed([archive], made or layer(), {}))


def test_the_layer_comes_in() -> None:
    result = contents(through(ARCHIVE))

    assert contents(result["rootfs-diff.tar"]) == {"etc/motd": b"changed", "srv": b""}
    assert json.loads(result["deleted.files"]) == ["/gone"]


def test_everything_else_stays_as_it_was() -> None:
    before, after = contents(ARCHIVE), contents(through(ARCHIVE))

    for name in "config.dump", "stats-dump", "checkpoint/pages-1.img", "volumes/empty.tar":
        assert after[name] == before[name]
    assert list(after) == [*before, "rootfs-diff.tar", "deleted.files"]


def test_a_layer_that_the_engine_wrote_gives_way_to_ours() -> None:
    engines = tar(
        member("rootfs-diff.tar", tar(member("half", b"!"))), member("deleted.files", b"[]")
    )

    result = through(engines)

    assert [info.name for info in infos(result)] == ["rootfs-diff.tar", "deleted.files"]
    assert "half" not in contents(contents(result)["rootfs-diff.tar"])


def test_an_empty_layer_adds_nothing() -> None:
    made = layer(b"", deleted=())

    assert set(contents(through(ARCHIVE, made))) == set(contents(ARCHIVE))


@pytest.mark.parametrize("name", ["volumes/data.tar", "devshm-checkpoint.tar"])
def test_the_root_of_a_mount_is_called_so_that_its_mode_and_owner_are_set(name: str) -> None:
    (before, *others), (after, *rest) = (
        infos(contents(archive)[name]) for archive in (ARCHIVE, through(ARCHIVE))
    )

    assert before.name == "."
    assert after.name == ""  # how the standard library reads "/"
    assert (after.mode, after.uid, after.gid, after.type) == (
        *(before.mode, before.uid, before.gid, before.type),
    )
    assert [info.name for info in rest] == [info.name for info in others]


def test_a_root_with_attributes_keeps_them() -> None:
    attributes = {"SCHILY.xattr.user.note": "n"}
    volume = tar(folder(".", pax_headers=attributes))

    (root,) = infos(contents(through(tar(member("volumes/v.tar", volume))))["volumes/v.tar"])

    assert (root.name, root.pax_headers) == ("", attributes)


def test_a_volume_whose_first_entry_is_no_root_is_left_alone() -> None:
    volume = tar(member("./file", b"x"))

    assert contents(through(tar(member("volumes/v.tar", volume))))["volumes/v.tar"] == volume


def test_statistics_are_read_in_passing() -> None:
    statistics: dict[str, int] = {}

    b"".join(completed([ARCHIVE], layer(), statistics))

    assert statistics == {"frozen_microseconds": 93_600, "pages_written": 34}


@given(st.lists(st.integers(1, 3000), max_size=60))
def test_any_pieces_give_the_same_bytes(sizes: list[int]) -> None:
    pieces = filter(None, cut(ARCHIVE, sizes))

    assert b"".join(completed(pieces, layer(), {})) == through(ARCHIVE)


@given(st.integers(0, len(ARCHIVE) - 1025))
def test_an_archive_that_ends_early_is_an_error(size: int) -> None:
    with pytest.raises(tarfile.TarError):
        through(ARCHIVE[:size])


def test_what_is_no_archive_is_an_error() -> None:
    with pytest.raises(tarfile.TarError):
        through(b"no tar" * 1000)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_every_spelling(format: Literal[1, 2]) -> None:
    name = "volumes/" + "y" * 200 + ".tar"

    result = through(tar(member(name, VOLUME), format=format))

    assert [info.name for info in infos(contents(result)[name])] == ["", "./v"]


def test_memory_is_bounded_whatever_the_size() -> None:
    size, piece = 256 << 20, bytes(1 << 20)
    info, _ = member("checkpoint/pages-1.img")
    info.size = size

    def archive() -> Iterator[bytes]:
        yield info.tobuf(tarfile.PAX_FORMAT)
        for _ in range(size // len(piece)):
            yield piece
        yield bytes(1024)

    tracemalloc.start()
    try:
        total = sum(map(len, completed(archive(), layer(b"", ()), {})))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert total == size + 512 + 1024
    assert peak < 8 << 20


@pytest.mark.parametrize("records", [b"99 path=x\n", b"path=x\n", b"1 \n"])
def test_a_damaged_extended_header_is_no_archive(records: bytes) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(records)

    with pytest.raises(tarfile.ReadError, match="damaged extended header"):
        through(header.tobuf() + records + bytes(512 - len(records)) + ARCHIVE)


def test_an_extended_header_is_not_held_in_memory_whatever_its_size() -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30

    with pytest.raises(tarfile.ReadError, match="extended header of 1073741824 bytes"):
        through(header.tobuf())
