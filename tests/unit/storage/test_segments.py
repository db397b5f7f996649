import struct
from collections.abc import Iterable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from storage import ArchiveDamagedError
from storage.header import Header, new_header
from storage.objects import in_blocks
from storage.segments import Opener, Part, Sealer
from tests.unit.storage.samples import noise

SEGMENT = 100
PART = 3 * SEGMENT


def header_of(archive: str = "sample", *, part_bytes: int = PART) -> Header:
    made = new_header(archive, part_bytes)
    return made.model_copy(update={"segment_bytes": SEGMENT})


def sealed(header: Header, raw: bytes) -> list[bytes]:
    return [bytes(part) for part in Sealer(header).parts([raw])]


def parts_of(opener: Opener, parts: Iterable[bytes]) -> Iterator[tuple[Part, Iterable[bytearray]]]:
    for number, sealed in enumerate(parts):
        part = Part(number=number)
        yield part, opener.open(part, in_blocks(sealed, SEGMENT))


def opened(header: Header, parts: list[bytes]) -> bytes:
    opener = Opener(header)
    return b"".join(opener.stream(parts_of(opener, parts)))


def passed_on(header: Header, parts: list[bytes]) -> bytes:
    """What comes out before the damage shows."""
    got, opener = b"", Opener(header)

    def read() -> None:
        nonlocal got
        for segment in opener.stream(parts_of(opener, parts)):
            got += segment

    with pytest.raises(ArchiveDamagedError, match="sample"):
        read()
    return got


@given(chunks=st.lists(st.binary(max_size=400), min_size=1), segments=st.integers(1, 4))
def test_any_stream_comes_back(chunks: list[bytes], segments: int) -> None:
    raw = b"".join(chunks) or b"x"
    header = header_of(part_bytes=segments * SEGMENT)
    sealer, opener = Sealer(header), Opener(header)

    parts = [bytes(part) for part in sealer.parts([*chunks, b"" if b"".join(chunks) else b"x"])]

    assert b"".join(opener.stream(parts_of(opener, parts))) == raw
    assert all(len(part) == segments * SEGMENT for part in parts[:-1])
    assert sealer.size == opener.size == sum(map(len, parts))
    assert sealer.segments == opener.segments == -(-sealer.size // SEGMENT)


@pytest.mark.parametrize("segments", [1, 2, 3, 4, 6])
def test_a_stream_may_end_where_a_segment_or_a_part_ends(segments: int) -> None:
    header, raw = header_of(), noise(segments * (SEGMENT - 16))

    parts = sealed(header, raw)

    assert sum(map(len, parts)) == segments * SEGMENT
    assert opened(header, parts) == raw


def test_it_is_what_the_document_says() -> None:
    header, raw = header_of("some/archive"), noise(SEGMENT)

    [part] = sealed(header, raw)

    cipher, bound = AESGCM(header.data_key), b"podferry/2\0segment\0some/archive"
    first = header.nonce_prefix + struct.pack(">IB", 0, 0)
    second = header.nonce_prefix + struct.pack(">IB", 1, 1)
    assert cipher.decrypt(first, part[:SEGMENT], bound) == raw[: SEGMENT - 16]
    assert cipher.decrypt(second, part[SEGMENT:], bound) == raw[SEGMENT - 16 :]


@given(data=st.data())
def test_parts_may_be_opened_in_any_order(data: st.DataObject) -> None:
    header, raw = header_of(), noise(4 * PART)
    opener, parts = Opener(header), sealed(header, raw)
    numbers = data.draw(st.permutations(range(len(parts))))

    parts_opened = {}
    for number in numbers:
        part = Part(number=number)
        parts_opened[number] = part, list(opener.open(part, in_blocks(parts[number], SEGMENT)))

    assert b"".join(opener.stream(parts_opened[n] for n in range(len(parts)))) == raw


def test_what_was_opened_before_a_part_broke_off_is_not_opened_again() -> None:
    header, raw = header_of(), noise(PART)
    opener, [first, last] = Opener(header), sealed(header, raw)
    part, rest = Part(number=0), Part(number=1)

    before = list(opener.open(part, in_blocks(first[: 2 * SEGMENT], SEGMENT)))
    after = list(opener.open(part, in_blocks(first, SEGMENT)))
    end = opener.open(rest, in_blocks(last, SEGMENT))

    assert (len(before), len(after), part.size) == (2, 1, PART)
    assert b"".join(opener.stream([(part, before + after), (rest, end)])) == raw


def test_memory_is_used_again_but_not_while_it_is_viewed() -> None:
    header, raw = header_of(), noise(20 * PART)
    opener, parts = Opener(header), sealed(header, raw)

    views = list(opener.stream(parts_of(opener, parts)))
    memory = [view.obj for view in opener.stream(parts_of(opener, parts))]

    assert b"".join(views) == raw
    assert len(set(map(id, memory))) < len(memory) / 2


def test_no_part_is_asked_for_after_the_end() -> None:
    header = header_of()
    opener = Opener(header)
    asked = iter([*sealed(header, noise(PART)), b"not this one"])

    for _ in opener.stream(parts_of(opener, asked)):
        pass

    assert list(asked) == [b"not this one"]


@pytest.mark.parametrize("at", [0, SEGMENT, PART - 1])
def test_a_changed_segment_is_not_passed_on(at: int) -> None:
    header, raw = header_of(), noise(5 * SEGMENT)
    parts = sealed(header, raw)
    damaged = bytearray(parts[0])
    damaged[at] ^= 1

    got = passed_on(header, [bytes(damaged), *parts[1:]])

    assert got == raw[: at // SEGMENT * (SEGMENT - 16)]


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, SEGMENT - 1, SEGMENT, PART - 1])
@pytest.mark.parametrize("number", [0, 1])
def test_a_cut_part_is_refused(number: int, length: int) -> None:
    header, raw = header_of(), noise(2 * PART - 100)
    parts = sealed(header, raw)
    parts[number] = parts[number][: min(length, len(parts[number]) - 1)]

    assert raw.startswith(passed_on(header, parts))


def test_a_missing_end_is_refused() -> None:
    header, raw = header_of(), noise(2 * PART)

    assert len(passed_on(header, sealed(header, raw)[:-1])) < len(raw)


def test_a_repeated_or_dropped_segment_is_refused() -> None:
    header, raw = header_of(), noise(2 * PART)
    first, second, *rest = sealed(header, raw)

    assert len(passed_on(header, [first, first, second, *rest])) == 3 * (SEGMENT - 16)
    assert passed_on(header, [second, *rest]) == b""
    inner = first[SEGMENT:] + second[:SEGMENT]
    assert passed_on(header, [inner, second, *rest]) == b""


def test_a_segment_after_the_last_one_is_refused() -> None:
    header, raw = header_of(), noise(2 * (SEGMENT - 16))
    [whole] = sealed(header, raw)
    [longer] = sealed(header, raw + b"more")

    assert passed_on(header, [whole + b"x" * 20]) == raw
    assert passed_on(header, [longer.ljust(PART, b"x")]) == raw


def test_a_part_of_another_archive_is_refused() -> None:
    header, other, raw = header_of(), header_of("other"), noise(2 * PART)
    first, *_ = sealed(header, raw)
    _, *rest = sealed(other, raw)

    assert len(passed_on(header, [first, *rest])) == 3 * (SEGMENT - 16)


def test_the_name_is_bound_and_not_only_the_key() -> None:
    header, raw = header_of(), noise(PART)
    other = header.model_copy(update={"archive": "other"})

    assert passed_on(header, sealed(other, raw)) == b""


@pytest.mark.parametrize("part_bytes", [0, 16, (1 << 20) + 1, 2 << 30])
def test_part_bytes_must_hold_whole_segments(part_bytes: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        new_header("sample", part_bytes)


def test_each_archive_has_a_key_of_its_own() -> None:
    first, second = new_header("sample", PART), new_header("sample", PART)

    assert first.data_key != second.data_key
    assert first.nonce_prefix != second.nonce_prefix
    assert str(first.data_key) not in repr(first)
