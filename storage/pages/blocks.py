"""What is compared: blocks of 4 KiB, each known by where it belongs and by a keyed digest."""

from typing import NamedTuple

from blake3 import blake3

from storage.pages.reader import Bytes

BLOCK_BYTES = 4096  # a page of CRIU's
SPAN_BYTES = 64 * BLOCK_BYTES
DIGEST_BYTES = 16
KEY_BYTES = 32
ZERO_BLOCK = bytes(BLOCK_BYTES)
ZERO_DIGEST = bytes(DIGEST_BYTES)  # stands for a whole block of zeros, which is not digested


class Span(NamedTuple):
    """At most SPAN_BYTES of a tar, and what they are.

    `stream` is the member that they are compared with ("" compares with nothing), `path` what they
    belong to within it, `address` where there: a multiple of BLOCK_BYTES. The last block may be
    short.
    """

    data: Bytes
    stream: bytes = b""
    path: bytes = b""
    address: int = 0


def block_digests(data: Bytes, key: bytes) -> bytes:
    """DIGEST_BYTES for every block.

    BLAKE3 digests 4 KiB at 2 GB/s from Python, hashlib's BLAKE2b at 0.8. Keyed, because what lies
    in memory comes from anyone, and because digests of pages would tell what the pages hold.
    """
    view = memoryview(data)
    return b"".join([
        ZERO_DIGEST
        if data.startswith(ZERO_BLOCK, start)
        else blake3(view[start : start + BLOCK_BYTES], key=key).digest(DIGEST_BYTES)
        for start in range(0, len(data), BLOCK_BYTES)
    ])  # fmt: skip


def blocks_of(size: int) -> int:
    """How many blocks hold `size` bytes."""
    return -(-size // BLOCK_BYTES)
