import io
import struct
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import ArchiveDamagedError, Compression
from storage.compression import Chooser
from storage.frames import FRAME_BYTES, decode, encode
from storage.objects import Blob
from tests.unit.storage.samples import chunked, noise

MODES: list[Compression] = ["auto", "none", "fast", "normal"]
ZSTD, STORED = 0x184D2A50, 0x184D2A51
END = struct.pack("<III", ZSTD, 4, 0)
SAMPLE = noise(300_000) + bytes(5_000_000) + noise(1_000)


def encoded(mode: Compression, chunks: list[bytes] | Iterator[Blob]) -> bytes:
    return b"".join(encode(chunks, Chooser(mode)))


def decoded(stored: bytes) -> bytes:
    return b"".join(decode([stored], archive="sample"))


def framed(frame: bytes) -> bytes:
    return struct.pack("<III", ZSTD, 4, len(frame)) + frame + END


@given(
    mode=st.sampled_from(MODES),
    chunks=st.lists(st.binary(max_size=2000)),
    stored_size=st.integers(1, 5000),
)
@settings(deadline=None)
def test_any_chunking_comes_back(mode: Compression, chunks: list[bytes], stored_size: int) -> None:
    stored = encoded(mode, chunks)

    raw = b"".join(decode(chunked(stored, stored_size), archive="sample"))

    assert raw == b"".join(chunks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk_size", [4096, 1 << 20, 16 << 20])
def test_large_streams_come_back_in_bounded_pieces(mode: Compression, chunk_size: int) -> None:
    views = (memoryview(chunk) for chunk in chunked(SAMPLE, chunk_size))

    pieces = list(decode(encode(views, Chooser(mode)), archive="sample"))

    assert b"".join(pieces) == SAMPLE
    assert max(map(len, pieces)) <= 1 << 20


@pytest.mark.parametrize("mode", MODES)
def test_source_may_reuse_its_buffer(mode: Compression) -> None:
    def reused() -> Iterator[memoryview]:
        buffer = bytearray(1000)
        for number in range(5000):
            buffer[:] = bytes([number % 256]) * 1000
            yield memoryview(buffer)

    assert decoded(encoded(mode, reused())) == b"".join(
        bytes([number % 256]) * 1000 for number in range(5000)
    )


@pytest.mark.parametrize("mode", MODES)
def test_it_is_what_the_document_says(mode: Compression) -> None:
    stored, raw = io.BytesIO(encoded(mode, [SAMPLE])), bytearray()

    while (header := struct.unpack("<III", stored.read(12))) != (ZSTD, 4, 0):
        frame = stored.read(header[2])
        raw += frame if header[:2] == (STORED, 4) else zstandard.decompress(frame)

    assert raw == SAMPLE
    assert stored.read() == b""


def test_frames_of_raw_blocks_are_read_as_earlier_builds_wrote_them() -> None:
    raw, blocks = noise(1 << 20), b""
    for start in range(0, len(raw), 128 << 10):
        last = start + (128 << 10) == len(raw)
        blocks += (128 << 13 | last).to_bytes(3, "little") + raw[start : start + (128 << 10)]

    stored = framed(struct.pack("<IBI", 0xFD2FB528, 0b10_1_00000, len(raw)) + blocks)

    assert decoded(stored) == raw


@pytest.mark.parametrize(("mode", "ratio"), [("auto", 10), ("normal", 10), ("fast", 10)])
def test_it_compresses(mode: Compression, ratio: int) -> None:
    assert len(encoded(mode, [SAMPLE])) < len(SAMPLE) / ratio


def test_what_does_not_compress_costs_next_to_nothing() -> None:
    raw = noise(20 * FRAME_BYTES)

    for mode in MODES:
        assert len(encoded(mode, [raw])) == len(raw) + 20 * 12 + len(END)


def test_none_leaves_the_bytes_as_they_are() -> None:
    assert b"state of the container" in encoded("none", [b"state of the container"])


@pytest.mark.parametrize("mode", MODES)
def test_what_does_not_get_smaller_is_passed_on_without_a_copy(mode: Compression) -> None:
    stored = encoded(mode, [noise(3 * FRAME_BYTES)])

    for piece in decode([stored], archive="sample"):
        assert isinstance(piece, memoryview)
        assert piece.obj is stored


@given(modes=st.lists(st.sampled_from(["none", "normal"]), max_size=12))
@settings(deadline=None)
def test_frames_of_both_kinds_keep_their_order(modes: list[Compression]) -> None:
    raw = [noise(FRAME_BYTES // 4, seed=number) for number in range(len(modes))]
    frames = (encoded(m, [r]).removesuffix(END) for m, r in zip(modes, raw, strict=True))

    assert decoded(b"".join(frames) + END) == b"".join(raw)


@given(data=st.data(), mode=st.sampled_from(["none", "normal"]))
def test_cut_stream_is_damaged(data: st.DataObject, mode: Compression) -> None:
    stored = encoded(mode, [SAMPLE])
    length = data.draw(st.integers(0, len(stored) - 1))

    with pytest.raises(ArchiveDamagedError, match="sample"):
        decoded(stored[:length])


def test_cut_between_frames_is_damaged() -> None:
    with pytest.raises(ArchiveDamagedError, match="middle"):
        decoded(encoded("normal", [SAMPLE]).removesuffix(END))


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(encoded("normal", [b"text"]) + b"x", id="more after the end"),
        pytest.param(framed(b"not zstd at all"), id="no frame"),
        pytest.param(framed(zstandard.compress(b"text") + b"x"), id="more after the frame"),
        pytest.param(framed(zstandard.compress(b"text")[:-1]), id="cut frame"),
        pytest.param(framed(zstandard.compress(b"")), id="frame of nothing"),
        pytest.param(framed(zstandard.compress(bytes(64 << 20))), id="bomb that says so"),
        pytest.param(framed(zstandard.ZstdCompressor(write_content_size=False).compress(b"text")),
                     id="size unknown"),
        pytest.param(b"x" * 12 + framed(zstandard.compress(b"text")), id="no header"),
        pytest.param(struct.pack("<III", ZSTD, 4, 1 << 30), id="frame too long"),
        pytest.param(struct.pack("<III", STORED, 4, (1 << 20) + 1), id="stored frame too long"),
        pytest.param(struct.pack("<III", STORED, 5, 1) + b"x" + END, id="another size of length"),
        pytest.param(struct.pack("<III", STORED + 1, 4, 1) + b"x" + END, id="another kind"),
    ],
)  # fmt: skip
def test_nonsense_is_damaged(stored: bytes) -> None:
    with pytest.raises(ArchiveDamagedError, match="sample"):
        decoded(stored)


def test_bomb_that_lies_about_its_size_is_damaged() -> None:
    bomb = bytearray(zstandard.compress(bytes(64 << 20)))
    size_field = bomb.index(struct.pack("<I", 64 << 20))
    bomb[size_field : size_field + 4] = struct.pack("<I", 1000)

    with pytest.raises(ArchiveDamagedError, match="decompression failed"):
        decoded(framed(bytes(bomb)))


def test_what_a_compressor_got_wrong_is_damaged() -> None:
    stored = bytearray(encoded("normal", [bytes(1000)]))
    stored[-len(END) - 1] ^= 1  # zstd's own checksum ends the frame

    with pytest.raises(ArchiveDamagedError, match="checksum"):
        decoded(bytes(stored))


def test_failure_of_the_source_comes_through() -> None:
    def source() -> Iterator[bytes]:
        yield bytes(3 << 20)
        raise RuntimeError("the container is gone")

    with pytest.raises(RuntimeError, match="container is gone"):
        encoded("normal", source())
