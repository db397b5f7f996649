"""What CRIU measured while it dumped, from the archive's ``stats-dump``.

The image is two magic numbers, a length and a protobuf message (criu: include/magic.h,
images/stats.proto); its first field is the dump's message, whose fields are numbers. Times are
microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAGICS = (0x55105940, 0x57093306)  # IMG_SERVICE_MAGIC, STATS_MAGIC
_DUMP = 1  # StatsEntry.dump
_NAMES = {
    1: "freezing_microseconds",
    2: "frozen_microseconds",
    3: "memory_dump_microseconds",
    4: "memory_write_microseconds",
    5: "pages_scanned",
    7: "pages_written",
}
_VARINT, _BYTES = 0, 2  # protobuf wire types


def dump_statistics(image: bytes) -> dict[str, int]:
    """Read the numbers; none from an image that looks otherwise, for they are only informative."""
    try:
        *magics, size = struct.unpack_from("<3I", image)
        if tuple(magics) != _MAGICS:
            return {}
        entry = dict(_fields(image[12 : 12 + size]))[_DUMP]
        fields = _fields(entry) if isinstance(entry, bytes) else iter(())
        return {
            _NAMES[number]: value
            for number, value in fields
            if number in _NAMES and isinstance(value, int)
        }
    except (struct.error, ValueError, LookupError):
        return {}


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value, position = _varint(message, position)
        if key & 7 == _VARINT:
            yield key >> 3, value
        elif key & 7 == _BYTES:
            yield key >> 3, message[position : position + value]
            position += value
        else:
            raise ValueError(f"wire type {key & 7}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
