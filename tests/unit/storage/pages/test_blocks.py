import pytest
from blake3 import blake3

from storage.pages.blocks import BLOCK_BYTES, DIGEST_BYTES, ZERO_DIGEST, block_digests
from tests.unit.storage.pages.checkpoints import KEY
from tests.unit.storage.samples import noise


def test_every_block_has_a_digest_of_its_own() -> None:
    data = noise(2 * BLOCK_BYTES) + bytes(BLOCK_BYTES) + b"short"

    digests = block_digests(data, KEY)

    assert len(digests) == 4 * DIGEST_BYTES
    assert digests[:DIGEST_BYTES] == blake3(data[:BLOCK_BYTES], key=KEY).digest(DIGEST_BYTES)
    assert digests[2 * DIGEST_BYTES : 3 * DIGEST_BYTES] == ZERO_DIGEST
    assert digests[3 * DIGEST_BYTES :] == blake3(b"short", key=KEY).digest(DIGEST_BYTES)


def test_short_zeros_are_not_a_block_of_zeros() -> None:
    short, shorter = (block_digests(bytes(size), KEY) for size in (BLOCK_BYTES - 1, 1))

    assert len({short, shorter, ZERO_DIGEST}) == 3


@pytest.mark.parametrize("other", [bytes(32), bytes(31) + b"\1"])
def test_digests_tell_nothing_under_another_key(other: bytes) -> None:
    data = noise(BLOCK_BYTES)

    assert block_digests(data, KEY) != block_digests(data, other)
    assert block_digests(data, KEY) != blake3(data).digest(DIGEST_BYTES)
