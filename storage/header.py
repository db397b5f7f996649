"""An archive's header: written before its first part, so that reading need not wait."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from storage.errors import ArchiveDamagedError
from storage.keys import KEY_BYTES
from storage.objects import require_key
from storage.records import Record, UtcDatetime, first_reason

SEGMENT_BYTES = 1 << 20
TAG_BYTES = 16
NONCE_PREFIX_BYTES = 7
_PART_LIMIT = 1 << 30


class Header(Record):
    """How to read the parts of one archive; stored sealed only, for it holds the archive's key.

    `archive` is the key prefix of the parts, and the archive's name in every seal. A part has
    `part_bytes`, a whole number of segments of `segment_bytes` each, tags included; the last part
    and the last segment may be shorter. What has the codec "zstd" is read by the same rules.
    """

    archive: Annotated[str, AfterValidator(require_key)]
    created: UtcDatetime
    codec: Literal["zstd", "zstd+stored"] = "zstd+stored"
    part_bytes: int = Field(le=_PART_LIMIT)
    segment_bytes: int = Field(gt=TAG_BYTES)
    nonce_prefix: bytes = Field(min_length=NONCE_PREFIX_BYTES, max_length=NONCE_PREFIX_BYTES)
    data_key: bytes = Field(min_length=KEY_BYTES, max_length=KEY_BYTES, repr=False)

    @model_validator(mode="after")
    def _parts_hold_whole_segments(self) -> Self:
        if self.part_bytes < self.segment_bytes or self.part_bytes % self.segment_bytes:
            raise ValueError("part_bytes is no multiple of segment_bytes")
        return self


def new_header(archive: str, part_bytes: int) -> Header:
    """The header of a new archive, with a fresh key. Raises ValueError for another `part_bytes`."""
    return Header(
        archive=archive,
        created=datetime.now(UTC),
        part_bytes=part_bytes,
        segment_bytes=min(SEGMENT_BYTES, part_bytes),
        nonce_prefix=secrets.token_bytes(NONCE_PREFIX_BYTES),
        data_key=secrets.token_bytes(KEY_BYTES),
    )


def dump_header(header: Header) -> tuple[bytes, str]:
    """The header as it is before it is sealed, and the digest of that, for the manifest.

    It holds 256 random bits, so its digest tells nothing; sealed anew for a rotated key, the
    header stays the same.
    """
    body = header.model_dump_json().encode()
    return body, _digest(body)


def load_header(prefix: str, body: bytes) -> tuple[Header, str]:
    """The header of the archive at `prefix`, and its digest. Raises ArchiveDamagedError."""
    try:
        header = Header.model_validate_json(body)
    except ValidationError as error:
        raise ArchiveDamagedError(prefix, f"its header: {first_reason(error)}") from None
    if header.archive != prefix:
        raise ArchiveDamagedError(prefix, f"its header belongs to {header.archive}")
    return header, _digest(body)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def header_key(prefix: str) -> str:
    """Where an archive's header lies."""
    return f"{prefix}/header.json"


def part_key(prefix: str, number: int) -> str:
    """Where an archive's part lies; the first has number 0."""
    return f"{prefix}/parts/{number:06d}"
