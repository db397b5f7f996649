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


def test_pagemap_of_an_earlier_checkpoint_says_nothing() -> None:
    earlier = tar([("pagemap-9.img", pagemap(1, run(STACK, 2)))], time=1)[:1024]
    now = tar([("pagemap-1.img", pagemap(1, run(HEAP, 2)))], time=2)[:1024]
    data = tar([("pages-1.img", noise(2 * PAGE))], time=2)

    for members in (earlier + now, now + earlier):
        assert places(members + data) == {(b"pagemap-1.img/pages", b"", HEAP): noise(2 * PAGE)}


def test_order_of_pages_is_told_before_they_come() -> None:
    members = [(f"{folder}/pagemap-{number + 1}.img", pagemap(number, run(HEAP, 1)))
               for folder in "ab" for number in (2, 10, 1)]  # fmt: skip
    images = [
        (f"{folder}/pages-{number}.img", noise(PAGE)) for folder in "ab" for number in (1, 10, 2)
    ]
    data = tar([*members[:3], *images[:3], *members[3:], *images[3:]])
    told: list[list[bytes]] = []

    found = [span.stream for span in TarSpans([data], expect=lambda all: told.append(list(all)))]

    first, second = ([b"%b/pagemap-%d.img/pages" % (folder, pid) for pid in (2, 11, 3)]
                     for folder in (b"a", b"b"))  # fmt: skip
    assert told == [first, second]
    assert [stream for stream in found if stream] == [*first, *second]


def test_inner_tar_that_is_none_is_compared_by_offset() -> None:
    broken = tar([("a", noise(5000))])[: 512 + 5120] + noise(20_000)

    found = places(tar([("volumes/data.tar", broken)]))

    assert (b"volumes/data.tar", b"a", CONTENT) in found
    assert b"".join(found.values()) == broken[:5632] + broken[6144:]


def test_inner_member_does_not_reach_beyond_its_tar() -> None:
    inner = tar([("a", noise(9000))])[:6000]

    found = places(tar([("volumes/v.tar", inner), ("next", noise(5000))]))

    assert found[b"next", b"", 0] == noise(5000)
    assert (b"volumes/v.tar", b"a", CONTENT) not in found


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

    assert places(info.tobuf(tarfile.GNU_FORMAT) + noise(2 << 20)) == {}


def test_large_extended_header_comes_in_spans() -> None:
    info = tarfile.TarInfo("x")
    info.size, info.pax_headers = 5000, {"comment": "c" * 600_000}
    data = info.tobuf(tarfile.PAX_FORMAT) + noise(5000) + bytes(2000)

    assert places(data) == {(b"x", b"", 0): noise(5000)}
    assert places(tar([("v.tar", data)]))[b"v.tar", b"x", CONTENT] == noise(5000) + bytes(120)


def test_links_have_no_content_whatever_they_say() -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname, info.size = tarfile.LNKTYPE, "large", 5000

    assert places(info.tobuf() + tar([("large", noise(5000))])) == {(b"large", b"", 0): noise(5000)}


def test_size_below_zero_is_none() -> None:
    info = tarfile.TarInfo("x")
    info.size = -512

    assert places(info.tobuf(tarfile.GNU_FORMAT) + tar([("large", noise(5000))])) == {}


@pytest.mark.parametrize("record", [b"0 a=b\n", b"-6 a=b\n", b"99 a=b\n", b"x"])
def test_extended_header_that_is_none_ends_the_tar(record: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    data = info.tobuf() + record.ljust(512, b"\0")

    assert places(data + tar([("large", noise(5000))])) == {}
