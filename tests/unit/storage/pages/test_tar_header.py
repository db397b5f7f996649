import io
import tarfile

import pytest

from storage.pages.reader import Reader
from storage.pages.tar_header import LIMIT_BYTES, read_header


def spelled(size: int, *, kind: bytes = tarfile.REGTYPE, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("size", [0, 5000, 9 << 30])
def test_header_says_name_and_size(size: int) -> None:
    header = read_header(Reader([spelled(size)]))

    assert (header.raw, header.name, header.size) == (spelled(size), b"x", size)


def test_header_says_when_the_file_was_written() -> None:
    info = tarfile.TarInfo("x")
    info.mtime = 7

    assert read_header(Reader([info.tobuf()])).time == 7


def test_name_need_not_be_text() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("x\udcff"))

    assert read_header(Reader([buffer.getvalue()])).name == b"x\xff"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(512), id="zeros"),
        pytest.param(spelled(5)[:-1], id="cut"),
        pytest.param(b"y" + spelled(5)[1:], id="wrong checksum"),
        pytest.param(spelled(-512), id="size below zero"),
    ],
)
def test_what_is_no_header_is_given_back(block: bytes) -> None:
    header = read_header(Reader([block]))

    assert (header.raw, header.size) == (block, None)


@pytest.mark.parametrize("size", [-512, LIMIT_BYTES, 1 << 40])
def test_extension_of_an_absurd_size_is_not_read(size: int) -> None:
    source = Reader([spelled(size, kind=tarfile.XHDTYPE), bytes(2 * LIMIT_BYTES)])

    header = read_header(source)

    assert header.size is None
    assert source.offset == len(header.raw) == tarfile.BLOCKSIZE


def test_extensions_are_bounded_together() -> None:
    extension = spelled(LIMIT_BYTES // 4, kind=tarfile.GNUTYPE_LONGLINK)
    source = Reader([extension, bytes(LIMIT_BYTES // 4)] * 10)

    header = read_header(source)

    assert header.size is None
    assert source.offset == len(header.raw) <= LIMIT_BYTES


@pytest.mark.parametrize("limit", [-1, 0, 511])
def test_no_header_is_read_beyond_a_limit(limit: int) -> None:
    source = Reader([spelled(5)])

    assert read_header(source, limit).raw == b""
    assert source.offset == 0
