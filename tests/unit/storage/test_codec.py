import struct
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from storage import ArchiveDamagedError
from storage.codec import PIECE_BYTES, CodecName, decode, encode
from tests.unit.storage.samples import chunked, noise

CODECS: list[CodecName] = ["none", "zstd"]
END = struct.pack("<III", 0x184D2A50, 4, 0)
SAMPLE = noise(300_000) + bytes(5_000_000) + noise(1_000)


def framed(frame: bytes) -> bytes:
    return struct.pack("<III", 0x184D2A50, 4, len(frame)) + frame + END


def decoded(stored: bytes) -> bytes:
    return b"".join(decode("zstd", [stored], archive="sample"))


@given(
    codec=st.sampled_from(CODECS),
    chunks=st.lists(st.binary(max_size=2000)),
    stored_size=st.integers(1, 5000),
)
def test_any_chunking_comes_back(codec: CodecName, chunks: list[bytes], stored_size: int) -> None:
    stored = b"".join(encode(codec, chunks))

    raw = b"".join(decode(codec, chunked(stored, stored_size), archive="sample"))

    assert raw == b"".join(chunks)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("chunk_size", [4096, 1 << 20, 16 << 20])
def test_large_streams_come_back_in_bounded_pieces(codec: CodecName, chunk_size: int) -> None:
    views = (memoryview(chunk) for chunk in chunked(SAMPLE, chunk_size))

    pieces = list(decode(codec, encode(codec, views), archive="sample"))

    assert b"".join(pieces) == SAMPLE
    assert max(map(len, pieces)) <= PIECE_BYTES


def test_source_may_reuse_its_buffer() -> None:
    def reused() -> Iterator[memoryview]:
        buffer = bytearray(1000)
        for number in range(5000):
            buffer[:] = bytes([number % 256]) * 1000
            yield memoryview(buffer)

    raw = b"".join(decode("zstd", encode("zstd", reused()), archive="sample"))

    assert raw == b"".join(bytes([number % 256]) * 1000 for number in range(5000))


def test_plain_zstd_reads_it() -> None:
    stored = b"".join(encode("zstd", [SAMPLE]))

    reader = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)

    assert reader.read(2 * len(SAMPLE)) == SAMPLE
    assert len(stored) < len(SAMPLE) / 10


@given(st.data())
def test_cut_stream_is_damaged(data: st.DataObject) -> None:
    stored = b"".join(encode("zstd", [SAMPLE]))
    length = data.draw(st.integers(0, len(stored) - 1))

    with pytest.raises(ArchiveDamagedError, match="sample"):
        decoded(stored[:length])


def test_cut_between_frames_is_damaged() -> None:
    stored = b"".join(encode("zstd", [SAMPLE])).removesuffix(END)

    with pytest.raises(ArchiveDamagedError, match="middle"):
        decoded(stored)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"".join(encode("zstd", [b"text"])) + b"x", id="more after the end"),
        pytest.param(framed(b"not zstd at all"), id="no frame"),
        pytest.param(framed(zstandard.compress(b"text") + b"x"), id="more after the frame"),
        pytest.param(framed(zstandard.compress(b"text")[:-1]), id="cut frame"),
        pytest.param(framed(zstandard.compress(b"")), id="frame of nothing"),
        pytest.param(framed(zstandard.compress(bytes(64 << 20))), id="bomb that says so"),
        pytest.param(framed(zstandard.ZstdCompressor(write_content_size=False).compress(b"text")),
                     id="size unknown"),
        pytest.param(b"x" * 12 + framed(zstandard.compress(b"text")), id="no header"),
        pytest.param(struct.pack("<III", 0x184D2A50, 4, 1 << 30), id="frame too long"),
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


def test_failure_of_the_source_comes_through() -> None:
    def source() -> Iterator[bytes]:
        yield bytes(3 << 20)
        raise RuntimeError("the container is gone")

    with pytest.raises(RuntimeError, match="container is gone"):
        list(encode("zstd", source()))
