from collections.abc import Iterator

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from storage import ArchiveDamagedError
from storage.pages import PageIndex, ParentIndex, encode_delta, rebuild
from storage.pages.operations import OPERATION
from tests.unit.storage.pages.checkpoints import (
    HEAP,
    KEY,
    PAGE,
    STACK,
    Memory,
    checkpoint,
    delta_of,
    index_of,
    pagemap,
    pages,
    rebuilt,
    run,
    sizes_of,
    tar,
)
from tests.unit.storage.samples import chunked, noise

MANY = 50
OVERHEAD = 20_000  # headers and small images


def memory(*seeds: int) -> Memory:
    return pages(HEAP, seeds)


def filled(process: int) -> Memory:
    """Fifty pages that no other process has."""
    return memory(*range(process * 1000 + 1, process * 1000 + 1 + MANY))


contents = st.lists(st.integers(0, 6), max_size=12).map(lambda seeds: memory(*seeds))
holed = st.dictionaries(st.integers(0, 40), st.integers(0, 3), max_size=12).map(
    lambda seeds: {
        HEAP + number * PAGE: pages(0, [seed])[0] for number, seed in sorted(seeds.items())
    }
)
processes = st.dictionaries(st.integers(1, 13), contents | holed, max_size=11)
trees = st.dictionaries(
    st.sampled_from(["a", "a/b", "a.b", "./c", "z", "é"]),
    st.builds(noise, st.integers(0, 9000), st.integers(0, 2)),
    max_size=5,
)


@st.composite
def checkpoints(draw: st.DrawFn) -> bytes:
    inner = tar(draw(trees).items(), time=draw(st.integers(0, 1)))
    files = {"volumes/v.tar": inner} if draw(st.booleans()) else {"volumes/v.tar": noise(7000)}
    found = draw(processes)
    order = draw(st.permutations(sorted(found)))
    return checkpoint(found, files=files, order=order, time=draw(st.integers(0, 1)))


@given(chain=st.lists(checkpoints() | st.binary(max_size=3000), min_size=2, max_size=4),
       chunk=st.integers(100, 30_000))  # fmt: skip
def test_any_chain_comes_back(chain: list[bytes], chunk: int) -> None:
    index, deltas = index_of(chain[0], chunk=chunk), list[bytes]()
    for data in chain[1:]:
        delta, index, _ = delta_of(data, index, chunk=chunk)
        deltas.append(delta)
        assert rebuilt(chain[0], *deltas, chunk=chunk) == data


def test_unchanged_pages_are_copied_and_changed_ones_are_not() -> None:
    before = list(range(1, 101))
    after = [n + 1000 if n % 10 == 0 else n for n in before]

    sizes = sizes_of(checkpoint({1: memory(*before)}), checkpoint({1: memory(*after)}))

    assert 10 * PAGE <= sizes.data < 10 * PAGE + OVERHEAD
    assert sizes.zeros == 0


def test_pages_are_copied_from_their_address_not_from_their_offset() -> None:
    before = pages(HEAP, range(1, 51)) | pages(STACK, range(51, 101))
    after = pages(HEAP, [200, *range(2, 51), 201]) | pages(STACK + 2 * PAGE, range(53, 101))

    sizes = sizes_of(checkpoint({1: before}), checkpoint({1: after}))

    assert 2 * PAGE <= sizes.data < 2 * PAGE + OVERHEAD


def test_pages_that_are_gone_are_left_out() -> None:
    before = memory(*range(1, 51))
    gone = list(before)[20:25]
    after = {address: data for address, data in before.items() if address not in gone}

    sizes = sizes_of(checkpoint({1: before}), checkpoint({1: after}))

    assert sizes.data < OVERHEAD


def test_files_of_the_same_name_in_two_volumes_are_two() -> None:
    inner = [tar([("a", noise(8192, seed))])[: 512 + 8192] for seed in (1, 2)]
    data = tar([("v.tar", inner[0]), ("w.tar", inner[1])])

    assert sizes_of(data, data).copied >= 2 * 8192


def test_new_zeros_are_neither_copied_nor_put() -> None:
    sizes = sizes_of(checkpoint({1: memory(1, 2, 3)}), checkpoint({1: memory(1, 0, 0)}))

    assert sizes.zeros == 2 * PAGE


def test_zeros_that_end_within_a_block_are_what_they_were() -> None:
    before, after = (
        tar([("zeros", bytes(2 * PAGE)), ("n", noise(PAGE))]),
        tar([("zeros", bytes(PAGE + 700)), ("n", noise(PAGE))]),
    )

    sizes_of(before, after)
    sizes_of(after, before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(range(1, 9), [1, 2, 4, 5, 6, 7, 8], id="one is gone"),
        pytest.param(range(1, 14), [*range(1, 7), *range(8, 14)], id="one of many is gone"),
        pytest.param([1, 2, 3], [1, 9, 2, 3], id="one is new"),
        pytest.param(range(1, 14), [*range(1, 14), 20], id="one more of many"),
        pytest.param(range(1, 14), [1, 2, 20, *range(3, 14)], id="one is new among many"),
    ],
)
def test_processes_come_and_go(before: list[int], after: list[int]) -> None:
    """Numbers of pages images shift, and "pages-10.img" comes before "pages-2.img"."""
    sizes = sizes_of(
        checkpoint({n: filled(n) for n in before}), checkpoint({n: filled(n) for n in after})
    )

    lost = len([n for n in after if n not in before]) + (len(after) > 9)
    assert sizes.data < lost * MANY * PAGE + OVERHEAD * len(after)


def test_process_that_comes_first_now_and_came_last_does_not_hide_the_others() -> None:
    tree = {number: filled(number) for number in range(1, 10)}

    sizes = sizes_of(
        checkpoint(tree, order=[*range(2, 10), 1]), checkpoint(tree, order=list(range(1, 10)))
    )

    assert sizes.data < 2 * MANY * PAGE


def test_what_lies_behind_does_not_weigh() -> None:
    """Its order in the parent: the heavy pages, a file, the light ones."""
    heavy, light = noise(100 * PAGE, 1), noise(10 * PAGE, 2)
    images = [("pagemap-1.img", pagemap(1, run(HEAP, 100))), ("pages-1.img", heavy)]
    others = [("pagemap-2.img", pagemap(2, run(HEAP, 10))), ("pages-2.img", light)]
    file = ("file", noise(10 * PAGE, 3))
    # the light ones are the first image now, so they come before the heavy ones
    now = [("pagemap-2.img", pagemap(1, run(HEAP, 10))), ("pages-1.img", light)]
    later = [("pagemap-1.img", pagemap(2, run(HEAP, 100))), ("pages-2.img", heavy)]

    sizes = sizes_of(tar([*images, file, *others]), tar([file, now[0], later[0], now[1], later[1]]))

    assert sizes.data < 100 * PAGE + OVERHEAD


def test_file_that_grew_does_not_hide_those_behind_it() -> None:
    files = {name: noise(100_000, seed) for seed, name in enumerate(["a", "b/c", "b.d", "e"])}
    before = tar([("volumes/v.tar", tar(files.items()))])
    files["a"] += b"more"
    files["b/new"] = noise(10_000, 9)
    after = tar([("volumes/v.tar", tar(sorted(files.items(), key=lambda f: f[0].split("/"))))])

    sizes = sizes_of(before, after)

    assert sizes.data < 10_000 + 4 * PAGE


def test_time_of_a_file_costs_a_header_only() -> None:
    files = [("a", noise(100_000))]

    sizes = sizes_of(
        tar([("volumes/v.tar", tar(files, time=0))]), tar([("volumes/v.tar", tar(files, time=1))])
    )

    assert sizes.data < OVERHEAD


def test_other_order_is_no_failure() -> None:
    members = [("a", noise(50_000, 1)), ("b", noise(60_000, 2)), ("c", noise(70_000, 3))]

    sizes = sizes_of(tar(members), tar(reversed(members)))

    assert sizes.copied > 60_000


def test_reverse_order_of_addresses_is_no_failure() -> None:
    backwards = dict(reversed(list(filled(1).items())))

    sizes_of(checkpoint({1: backwards}), checkpoint({1: backwards}))
    sizes_of(checkpoint({1: backwards}), checkpoint({1: filled(1)}))


def test_nothing_is_taken_from_a_parent_of_nothing() -> None:
    sizes = sizes_of(b"", checkpoint({1: filled(1)}))

    assert sizes.copied == 0


def test_source_may_reuse_its_buffer() -> None:
    data, buffer = checkpoint({1: filled(1)}), bytearray(10_000)

    def reused() -> Iterator[memoryview]:
        for piece in chunked(data, len(buffer)):
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]

    with PageIndex(KEY) as index:
        parent = ParentIndex([index_of(b"")], key=KEY, name="parent")
        delta = b"".join(bytes(piece) for piece in encode_delta(reused(), parent, index))

    assert rebuilt(b"", delta) == data


def test_failure_of_the_source_comes_through_and_leaves_no_index() -> None:
    def source() -> Iterator[bytes]:
        yield SAMPLE_PARENT[:5000]
        raise RuntimeError("the container is gone")

    with PageIndex(KEY) as index:
        parent = ParentIndex([index_of(SAMPLE_PARENT)], key=KEY, name="parent")
        with pytest.raises(RuntimeError, match="container is gone"):
            list(encode_delta(source(), parent, index))
        with pytest.raises(ValueError, match="not read to its end"):
            list(index.chunks())


SAMPLE_PARENT = checkpoint({1: filled(1), 2: filled(2)}, files={"v.tar": tar([("a", b"a")])})
SAMPLE_CHILD = checkpoint(
    {1: {**filled(1), **memory(7, 0, 8, 9)}, 2: filled(2)},
    files={"v.tar": tar([("a", b"b")])},
    time=1,
)
SAMPLE_DELTA = delta_of(SAMPLE_CHILD, index_of(SAMPLE_PARENT))[0]


def outcome(full: bytes, delta: bytes) -> bytes | None:
    """What comes out; None for a failure, before which all but the last bytes may come."""
    passed = bytearray()
    try:
        for piece in rebuild([full], [[delta]], archive="sample"):
            passed += piece
    except ArchiveDamagedError:
        assert len(passed) < len(SAMPLE_CHILD)
        return None
    return bytes(passed)


def test_sample_is_of_many_kinds() -> None:
    assert outcome(SAMPLE_PARENT, SAMPLE_DELTA) == SAMPLE_CHILD
    assert len(SAMPLE_DELTA) < len(SAMPLE_CHILD) / 4


@given(data=st.data())
def test_damaged_delta_never_passes(data: st.DataObject) -> None:
    damaged = bytearray(SAMPLE_DELTA)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))

    assert outcome(SAMPLE_PARENT, bytes(damaged)) is None


@given(at=st.integers(0, len(SAMPLE_DELTA) - 1))
def test_cut_delta_never_passes(at: int) -> None:
    assert outcome(SAMPLE_PARENT, SAMPLE_DELTA[:at]) is None


@given(data=st.data())
def test_another_parent_never_passes_for_the_right_one(data: st.DataObject) -> None:
    damaged = bytearray(SAMPLE_PARENT)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))

    # what the delta does not ask for may be damaged
    assert outcome(bytes(damaged), SAMPLE_DELTA) in (None, SAMPLE_CHILD)
    assert outcome(SAMPLE_PARENT[: len(SAMPLE_PARENT) // 2], SAMPLE_DELTA) is None
    assert outcome(b"", SAMPLE_DELTA) is None


def operations(*spelled: tuple[int, int, int] | bytes) -> bytes:
    return b"PFDELTA1" + b"".join(
        one if isinstance(one, bytes) else OPERATION.pack(*one) for one in spelled
    )


@pytest.mark.parametrize(
    "delta",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"PFDELTA2" + SAMPLE_DELTA[8:], id="another version"),
        pytest.param(SAMPLE_DELTA + b"x", id="more after the end"),
        pytest.param(operations((4, 1, 0)), id="unknown operation"),
        pytest.param(operations((2, 0, 0), (0, 0, 0), blake3().digest()), id="no effect"),
        pytest.param(operations((2, 1 << 49, 0)), id="endless zeros"),
        pytest.param(operations((3, (1 << 64) - 1, 0)), id="endless data"),
        pytest.param(operations((1, 1, (1 << 64) - 1)), id="endless skip"),
        pytest.param(operations((2, 5, 0), (0, 5, 0), bytes(32)), id="wrong digest"),
    ],
)
def test_nonsense_is_damaged(delta: bytes) -> None:
    assert outcome(SAMPLE_PARENT, delta) is None


def test_last_piece_is_held_back() -> None:
    data = tar([("large", noise(3_000_000))])
    delta = delta_of(data, index_of(b""))[0]
    passed: list[bytes] = []

    with pytest.raises(ArchiveDamagedError, match="sample"):
        passed.extend(rebuild([], [[delta[:-1] + b"x"]], archive="sample"))

    assert 0 < len(b"".join(passed)) < len(data)


def test_chain_wants_a_delta() -> None:
    with pytest.raises(ValueError, match="no delta"):
        list(rebuild([b""], [], archive="sample"))


def test_parent_is_read_no_further_than_it_is_wanted() -> None:
    before = tar([("a", noise(5000)), ("b", noise(3_000_000, 1))])
    delta = delta_of(tar([("a", noise(5000))]), index_of(before))[0]
    read = 0

    def source() -> Iterator[bytes]:
        nonlocal read
        for chunk in chunked(before, 5000):
            read += len(chunk)
            yield chunk

    list(rebuild(source(), [[delta]], archive="sample"))

    assert read < 20_000
