import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.pages.pagemap import LIMIT_BYTES, Pagemap, Pagemaps
from tests.unit.storage.pages.checkpoints import (
    HEAP,
    LAZY,
    PAGE,
    PRESENT,
    STACK,
    message,
    pagemap,
    run,
)

NAME = b"checkpoint/pagemap-7.img"
REAL = (  # the first messages of an image of CRIU 4.1
    "1943565425400856"
    "020000000801"
    "0b0000000880a08002100020042801"
    "0b000000088080a902100020042805"
    "0b0000000880a0ab02100020062801"
    "0c000000088080e2a501100020062802"
)


def runs(image: bytes) -> list[tuple[int, int]]:
    return list(Pagemap.parse(NAME, image).runs())


def test_runs_as_criu_4_1_writes_them() -> None:
    image = bytes.fromhex(REAL)

    found = Pagemap.parse(NAME, image)

    assert found.pages_id == 1
    assert list(found.runs()) == [
        (0x401000, PAGE),
        (0x4A4000, 5 * PAGE),
        (0x4AD000, PAGE),
        (0x14B88000, 2 * PAGE),
    ]
    assert found.size == 9 * PAGE


def test_runs_as_older_criu_writes_them() -> None:
    with_flags = message((1, HEAP), (2, 3), (4, PRESENT))
    without = message((1, STACK), (2, 2))

    assert runs(pagemap(1, with_flags, without)) == [(HEAP, 3 * PAGE), (STACK, 2 * PAGE)]


@pytest.mark.parametrize(
    "absent",
    [
        pytest.param(message((1, HEAP), (2, 3), (3, 1)), id="in the parent, old"),
        pytest.param(run(HEAP, 3, flags=1), id="in the parent"),
        pytest.param(run(HEAP, 3, flags=LAZY), id="lazy"),
    ],
)
def test_what_lies_elsewhere_is_left_out(absent: bytes) -> None:
    assert runs(pagemap(1, absent, run(STACK, 1))) == [(STACK, PAGE)]


def test_runs_that_criu_cut_are_one() -> None:
    image = pagemap(1, run(HEAP, 256), run(HEAP + 256 * PAGE, 10), run(STACK, 1))

    assert runs(image) == [(HEAP, 266 * PAGE), (STACK, PAGE)]


def test_unknown_fields_are_passed_over() -> None:
    body = b"\x08\x80\x20" + b"\x32\x02ab" + b"\x39" + bytes(8) + b"\x45" + bytes(4) + b"\x10\x02"
    entry = struct.pack("<I", len(body)) + body

    assert runs(pagemap(1, entry)) == [(PAGE, 2 * PAGE)]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(100), id="no magic"),
        pytest.param(pagemap(1, run(HEAP + 1, 1)), id="address within a page"),
        pytest.param(pagemap(1, run(HEAP, 0)), id="run of nothing"),
        pytest.param(pagemap(1, run(HEAP, 1 << 60)), id="run beyond all addresses"),
        pytest.param(pagemap(1, run((1 << 64) - PAGE, 2)), id="run over the end"),
        pytest.param(pagemap(1, run((1 << 69), 2)), id="address of 70 bits"),
        pytest.param(pagemap(1, message((2, 1))), id="no address"),
        pytest.param(pagemap(1, run(HEAP, 1))[:-1], id="cut message"),
        pytest.param(pagemap(1) + b"\x01\0", id="cut length"),
        pytest.param(pagemap(1, struct.pack("<I", 3) + b"\x0a\x7fa"), id="cut field"),
        pytest.param(pagemap(1, struct.pack("<I", 1) + b"\x0b"), id="group"),
        pytest.param(pagemap(1, struct.pack("<I", 12) + b"\x08" + b"\xff" * 11), id="long number"),
    ],
)
def test_nonsense_is_no_pagemap(image: bytes) -> None:
    pagemaps = Pagemaps()

    pagemaps.add(NAME, image, 0)

    with pytest.raises((ValueError, LookupError)):
        Pagemap.parse(NAME, image)
    assert not pagemaps.streams


@given(st.binary(max_size=200).map(lambda data: pagemap(1) + data) | st.binary())
def test_any_bytes_are_survived(image: bytes) -> None:
    Pagemaps().add(NAME, image, 0)


def test_pagemap_is_found_by_its_folder_and_number_once() -> None:
    pagemaps = Pagemaps()
    pagemaps.add(NAME, pagemap(3, run(HEAP, 2)), 0)
    pagemaps.add(b"pre-checkpoint/pagemap-7.img", pagemap(3, run(STACK, 1)), 0)

    assert pagemaps.take(b"checkpoint/pages-4.img", 2 * PAGE) is None
    assert pagemaps.take(b"checkpoint/core-3.img", 2 * PAGE) is None
    found = pagemaps.take(b"checkpoint/pages-3.img", 2 * PAGE)
    assert found is not None
    assert found.stream.startswith(NAME)
    assert pagemaps.take(b"checkpoint/pages-3.img", 2 * PAGE) is None
    assert len(pagemaps.streams) == 1


@pytest.mark.parametrize("times", [(1, 2), (2, 1)])
def test_pagemap_of_an_earlier_checkpoint_is_passed_over(times: tuple[int, int]) -> None:
    pagemaps = Pagemaps()
    for process, time in enumerate(times):
        pagemaps.add(b"pagemap-%d.img" % process, pagemap(1, run(HEAP + time * PAGE, 2)), time)

    found = pagemaps.take(b"pages-1.img", 2 * PAGE)

    assert found is not None
    assert list(found.runs()) == [(HEAP + 2 * PAGE, 2 * PAGE)]
    assert pagemaps.wants(b"pagemap-1.img", LIMIT_BYTES)


def test_streams_are_in_the_order_of_their_names() -> None:
    pagemaps = Pagemaps()
    for number in (2, 11, 1, 10):
        pagemaps.add(b"c/pagemap-%d.img" % (number + 7), pagemap(number, run(HEAP, 1)), 0)

    pagemaps.take(b"c/pages-1.img", PAGE)

    assert pagemaps.streams == [b"c/pagemap-%d.img/pages" % pid for pid in (17, 18, 9)]


def test_pages_of_another_size_have_no_pagemap() -> None:
    pagemaps = Pagemaps()
    pagemaps.add(NAME, pagemap(3, run(HEAP, 2)), 0)

    assert pagemaps.take(b"checkpoint/pages-3.img", 3 * PAGE) is None


def test_room_for_pagemaps_is_bounded_and_given_back() -> None:
    pagemaps, image = Pagemaps(), pagemap(1, *(run(HEAP + n * 2 * PAGE, 1) for n in range(100)))
    assert pagemaps.wants(NAME, LIMIT_BYTES)
    assert not pagemaps.wants(NAME, LIMIT_BYTES + 1)

    pagemaps.add(NAME, image, 0)

    assert not pagemaps.wants(NAME, LIMIT_BYTES)
    pagemaps.take(b"checkpoint/pages-1.img", 100 * PAGE)
    assert pagemaps.wants(NAME, LIMIT_BYTES)
