import pickle

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from storage import StorageError
from storage.pages import PageIndex, PageIndexError, ParentIndex, encode_delta
from storage.pages.blocks import DIGEST_BYTES
from storage.pages.index import DIRECTORY_LIMIT_BYTES, ENTRY, HEAD, MAGIC, RECORD, key_check
from storage.pages.parent import place_of
from tests.unit.storage.pages.checkpoints import (
    HEAP,
    KEY,
    PAGE,
    checkpoint,
    delta_of,
    index_of,
    pages,
    rebuilt,
    tar,
)
from tests.unit.storage.samples import chunked, noise

PARENT = checkpoint({1: pages(HEAP, range(1, 101))}, files={"v.tar": tar([("a", noise(9000))])})
CHILD = checkpoint({1: pages(HEAP, range(5, 101))}, files={"v.tar": tar([("a", noise(9000))])})
INDEX = index_of(PARENT)
STREAM = b"checkpoint/pagemap-1.img/pages"


def encoded(index: bytes, chunk: int = 1000) -> bytes:
    with PageIndex(KEY) as made:
        parent = ParentIndex(chunked(index, chunk), key=KEY, name="parent's")
        return b"".join(encode_delta([CHILD], parent, made))


def test_index_takes_little_more_than_its_digests() -> None:
    data = tar([("pages", noise(1000 * PAGE))])

    assert len(index_of(data)) < 1000 * DIGEST_BYTES * 1.05


def test_index_says_which_tar_it_is_of() -> None:
    parent = ParentIndex([INDEX], key=KEY, name="parent's")
    with PageIndex(KEY) as made:
        list(encode_delta([PARENT], parent, made))

    assert parent.tar_bytes == made.tar_bytes == len(PARENT)
    assert parent.tar_digest == made.tar_digest


def test_index_of_another_key_is_refused() -> None:
    with pytest.raises(PageIndexError, match=r"parent's cannot be used: .*another key"):
        encoded(index_of(PARENT, bytes(32)))


def test_child_has_the_key_of_its_parent() -> None:
    parent = ParentIndex([INDEX], key=KEY, name="parent's")

    with PageIndex(bytes(32)) as made, pytest.raises(ValueError, match="different keys"):
        list(encode_delta([CHILD], parent, made))


def test_index_can_be_verified_before_it_is_used() -> None:
    ParentIndex([INDEX], key=KEY, name="parent's").verify()

    with pytest.raises(PageIndexError, match="digest"):
        ParentIndex([INDEX[:-1] + b"x"], key=KEY, name="parent's").verify()


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_key_has_its_length(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PageIndex(key)
    with pytest.raises(ValueError, match=r"32|key"):
        ParentIndex([INDEX], key=key, name="parent's")


@given(data=st.data(), chunk=st.integers(1, 5000))
def test_damaged_index_is_refused(data: st.DataObject, chunk: int) -> None:
    damaged = bytearray(INDEX)
    at = data.draw(st.integers(0, len(damaged) - 1) | st.integers(0, HEAD.size + 200))
    damaged[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(PageIndexError, match="parent's"):
        encoded(bytes(damaged), chunk)


@given(at=st.integers(0, len(INDEX) - 1))
def test_cut_index_is_refused(at: int) -> None:
    with pytest.raises(PageIndexError, match="parent's"):
        encoded(INDEX[:at])


@pytest.mark.parametrize("index", [b"", INDEX + b"x", noise(1000), INDEX[HEAD.size :]])
def test_nonsense_is_refused(index: bytes) -> None:
    with pytest.raises(PageIndexError, match="take a full checkpoint"):
        encoded(index)


def test_delta_with_a_damaged_index_has_no_end() -> None:
    passed: list[bytes | bytearray] = []
    damaged = INDEX[:-1] + bytes([INDEX[-1] ^ 1])
    parent = ParentIndex([damaged], key=KEY, name="parent's")

    with PageIndex(KEY) as made, pytest.raises(PageIndexError, match="digest"):
        passed.extend(encode_delta([CHILD], parent, made))

    with pytest.raises(StorageError, match="ends early"):
        rebuilt(PARENT, b"".join(passed))


def test_index_without_its_end_cannot_be_had() -> None:
    with PageIndex(KEY) as made, pytest.raises(ValueError, match="not read to its end"):
        next(made.chunks())


def test_directory_is_bounded() -> None:
    members = [(f"{number:04000}", noise(4096, number)) for number in range(4500)]
    data = tar(members)

    index = index_of(data)
    _, _, sizes = delta_of(data, index)

    assert DIRECTORY_LIMIT_BYTES < 4500 * 4000
    assert len(index) < DIRECTORY_LIMIT_BYTES * 1.1
    assert 0 < sizes.copied < 4500 * 4096


SPAN = 64 * PAGE
AT = (0, 0, 0, PAGE)  # no path, an address, an offset, a size


def forged(
    *records: tuple[int, int, int, int],
    records_bytes: int = 0,
    directory_bytes: int = 0,
    streams: int = 1,
) -> bytes:
    """An index with the right digest of a tar with one pages image, and with what is wrong."""
    spelled = [RECORD.pack(*one) + b"x" * (one[3] // PAGE * DIGEST_BYTES) for one in records]
    length = records_bytes or sum(map(len, spelled))
    directory = ENTRY.pack(len(STREAM), length, 100 * PAGE) + STREAM
    size = directory_bytes or len(directory)
    head = HEAD.pack(MAGIC, key_check(KEY), len(PARENT), bytes(32), streams, size)
    data = head + directory + b"".join(spelled)
    return data + blake3(data, key=KEY).digest()


def test_forgery_is_as_good_as_an_index() -> None:
    delta = encoded(forged(AT, (0, PAGE, PAGE, SPAN)))

    assert rebuilt(PARENT, delta) == CHILD


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        pytest.param(forged((0, 0, 0, 0)), "impossible", id="record of nothing"),
        pytest.param(forged((0, 0, 0, SPAN + PAGE)), "impossible", id="record of too much"),
        pytest.param(forged((0, 1, 0, PAGE)), "impossible", id="address within a page"),
        pytest.param(forged((0, 0, len(PARENT), PAGE)), "order", id="offset beyond the tar"),
        pytest.param(forged((0, 0, PAGE, PAGE), AT), "order", id="offset before the last"),
        pytest.param(forged(AT, (0, PAGE, PAGE - 1, PAGE)), "order", id="offset in the last"),
        pytest.param(forged(AT, records_bytes=RECORD.size), "cut", id="record without digests"),
        pytest.param(forged(AT, records_bytes=RECORD.size - 1), "cut", id="record cut"),
        pytest.param(forged(AT, records_bytes=1 << 63), "impossible", id="endless records"),
        pytest.param(forged(AT, streams=(1 << 32) - 1), "impossible", id="endless directory"),
        pytest.param(forged(AT, streams=2), "contradicts", id="more streams than there are"),
        pytest.param(forged(AT, directory_bytes=1000), "contradicts", id="short directory"),
        pytest.param(forged(AT, directory_bytes=17 << 20), "impossible", id="large directory"),
    ],
)
def test_contradiction_is_refused_even_with_the_right_digest(index: bytes, reason: str) -> None:
    with pytest.raises(PageIndexError, match=reason):
        encoded(index)


def test_error_survives_pickling() -> None:
    error = PageIndexError("web/1", "it is damaged")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 # what the task queue does

    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_paths_are_in_the_order_of_a_walk() -> None:
    walk = [b"/", b"./", b"./a", b"./a/", b"./a/b", b"./a/b/c", b"./a.b", b"./b", b"\xff"]

    assert sorted(walk, key=place_of) == walk
