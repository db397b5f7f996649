import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.pages.blocks import BLOCK_BYTES, SPAN_BYTES, Span
from storage.pages.spans import CONTENT, TarSpans
from tests.unit.storage.pages.checkpoints import (
    HEAP,
    PAGE,
    STACK,
    checkpoint,
    pagemap,
    pages,
    run,
    tar,
)
from tests.unit.storage.samples import chunked, noise

SAMPLE = checkpoint(
    {1: pages(HEAP, [1, 2]) | pages(STACK, [3]), 2: pages(HEAP, [4])},
    files={"rootfs-diff.tar": tar([("a", b"a"), ("a/b", noise(10_000)), ("empty", b"")])},
)
Place = tuple[bytes, bytes, int]


def spans_of(data: bytes, chunk: int = 100_000) -> list[Span]:
    spans = list(TarSpans(chunked(data, chunk)))
    assert b"".join(span.data for span in spans) == data
    assert all(0 < len(span.data) <= SPAN_BYTES for span in spans)
    assert all(span.address % BLOCK_BYTES == 0 for span in spans)
    return spans


def places(data: bytes) -> dict[Place, bytes]:
    return {
        (span.stream, span.path, span.address): bytes(span.data)
        for span in spans_of(data)
        if span.stream
    }


@given(data=st.binary(max_size=5000), chunk=st.integers(1, 5000))
def test_any_stream_is_passed_on(data: bytes, chunk: int) -> None:
    spans_of(data, chunk)


@given(data=st.data(), chunk=st.integers(1, 50_000))
def test_any_damaged_tar_is_passed_on(data: st.DataObject, chunk: int) -> None:
    damaged = bytearray(SAMPLE)
    for at in data.draw(st.lists(st.integers(0, len(SAMPLE) - 1), max_size=5)):
        damaged[at] = data.draw(st.integers(0, 255))

    spans_of(bytes(damaged[: data.draw(st.integers(0, len(SAMPLE)))]), chunk)


def test_pages_have_the_addresses_of_their_process() -> None:
    found = places(SAMPLE)

    first, second = b"checkpoint/pagemap-1.img/pages", b"checkpoint/pagemap-2.img/pages"
    two = pages(HEAP, [1, 2])
    assert found[first, b"", HEAP] == two[HEAP] + two[HEAP + PAGE]
    assert found[first, b"", STACK] == pages(STACK, [3])[STACK]
    assert found[second, b"", HEAP] == pages(HEAP, [4])[HEAP]


def test_members_of_inner_tars_have_places_of_their_own() -> None:
    found = places(SAMPLE)

    layer = b"rootfs-diff.tar"
    assert len(found[layer, b"a/b", 0]) == tarfile.BLOCKSIZE
    assert found[layer, b"a/b", CONTENT] == noise(10_000) + bytes(-10_000 % 512)
    assert found[layer, b"a", CONTENT] == b"a" + bytes(511)
    assert (layer, b"empty", 0) in found
    assert (layer, b"empty", CONTENT) not in found


def test_other_members_are_compared_by_offset_if_they_are_no_smaller_than_a_block() -> None:
    members = [("small", noise(BLOCK_BYTES - 1)), ("large", noise(BLOCK_BYTES + 1))]

    assert places(tar(members)) == {(b"large", b"", 0): noise(BLOCK_BYTES + 1)}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(
            [("pages-1.img", noise(2 * PAGE)), ("pagemap-1.img", pagemap(1, run(HEAP, 2)))],
            id="the pagemap comes after",
        ),
        pytest.param(
            [("pagemap-1.img", pagemap(1, run(HEAP, 3))), ("pages-1.img", noise(2 * PAGE))],
            id="the pagemap says more",
        ),
        pytest.param(
            [("pagemap-1.img", pagemap(2, run(HEAP, 2))), ("pages-1.img", noise(2 * PAGE))],
            id="the pagemap is of another image",
        ),
        pytest.param(
            [("pagemap-1.img", b"nonsense"), ("pages-1.img", noise(2 * PAGE))],
            id="the pagemap cannot be read",
        ),
    ],
)
def test_pages_without_addresses_are_compared_by_offset(members: list[tuple[str, bytes]]) -> None:
    assert places(tar(members)) == {(b"pages-1.img", b"", 0): noise(2 * PAGE)}


def test_inner_tar_that_is_none_is_compared_by_offset() -> None:
    broken = tar([("a", noise(5000))])[: 512 + 5120] + noise(20_000)

    found = places(tar([("volumes/data.tar", broken)]))

    assert (b"volumes/data.tar", b"a", CONTENT) in found
    assert b"".join(found.values()) == broken[:5632] + broken[6144:]


def test_long_names_and_sizes_are_read_from_extended_headers() -> None:
    info = tarfile.TarInfo("n" * 300)
    info.pax_headers = {"size": str(2 * PAGE)}  # as if it did not fit into the field
    data = info.tobuf(tarfile.PAX_FORMAT) + noise(2 * PAGE)
    long = tarfile.TarInfo("l" * 300)
    long.size = 2 * PAGE
    data += long.tobuf(tarfile.GNU_FORMAT) + noise(2 * PAGE) + bytes(1024)

    assert places(data) == {
        (b"n" * 300, b"", 0): noise(2 * PAGE),
        (b"l" * 300, b"", 0): noise(2 * PAGE),
    }


@pytest.mark.parametrize("name", ["x" * 70_000, "checkpoint/pagemap-" + "1" * 70_000 + ".img"])
def test_absurd_names_are_not_kept(name: str) -> None:
    found = places(tar([(name, noise(5000)), ("volumes/v.tar", tar([(name, noise(5000))]))]))

    assert all(len(stream) + len(path) < 5000 for stream, path, _ in found)
    assert not any(noise(5000) in content for content in found.values())


def test_absurd_extended_header_is_not_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40

    assert places(info.tobuf(tarfile.GNU_FORMAT) + noise(10_000)) == {}


def test_links_have_no_content_whatever_they_say() -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = tarfile.LNKTYPE, "large"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(info)
        info = tarfile.TarInfo("large")
        info.size = 5000
        file.addfile(info, io.BytesIO(noise(5000)))

    assert places(buffer.getvalue()) == {(b"large", b"", 0): noise(5000)}
