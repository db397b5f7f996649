"""Which address each page of CRIU's page images has.

`pagemap-ID.img` holds runs of pages in the order in which `pages-N.img` has their contents: two
magic numbers, then messages, each after its length; the first says N. See criu.org/Images and, in
CRIU's sources, images/pagemap.proto and criu/include/magic.h. Since 4.1 a run's length is field 5
and field 2 is 0.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.pages.blocks import BLOCK_BYTES
from storage.pages.reader import Bytes

LIMIT_BYTES = 64 << 20  # of memory for what is awaited
_MAGICS = struct.pack("<II", 0x54564319, 0x56084025)
_ID, _ADDRESS, _SHORT_COUNT, _IN_PARENT, _FLAGS, _COUNT = 1, 1, 2, 3, 4, 5
_PRESENT = 1 << 2  # its content lies in the pages image
_ADDRESSES = 1 << 64
_PAGEMAP = re.compile(rb"(.*/)?pagemap-[^/]+\.img", re.DOTALL)
_PAGES = re.compile(rb"(.*/)?pages-(?P<id>[0-9]{1,10})\.img", re.DOTALL)
_LENGTH_BYTES = 4
_FIXED = {1: 8, 5: 4}  # wire types of fixed width, and how many bytes they have
_VARINT, _BYTES = 0, 2


@dataclass(frozen=True, kw_only=True)
class Pagemap:
    """The runs of one process, or of one shared memory: addresses and sizes in bytes."""

    stream: bytes
    pages_id: int
    time: int  # when the image was written, in seconds
    _addresses: array[int] = field(default_factory=lambda: array("Q"))
    _sizes: array[int] = field(default_factory=lambda: array("Q"))

    @classmethod
    def parse(cls, name: bytes, image: Bytes, time: int = 0) -> Pagemap:
        """Read an image. Raises ValueError for what CRIU does not write."""
        if not image.startswith(_MAGICS):
            raise ValueError("not a pagemap image")
        messages = _messages(image)
        pages_id = next(messages, {}).get(_ID, 0)
        made = cls(stream=name + b"/pages", pages_id=pages_id, time=time)
        for entry in messages:
            made._add(entry)
        return made

    @property
    def size(self) -> int:
        """How many bytes its pages image has."""
        return sum(self._sizes)

    @property
    def memory_bytes(self) -> int:
        """About how much memory it takes."""
        return 2 * len(self._sizes) * self._sizes.itemsize

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield address and size, in bytes, of what follows each other in the pages image."""
        return zip(self._addresses, self._sizes, strict=True)

    def _add(self, entry: dict[int, int]) -> None:
        if not _is_present(entry):
            return
        address, count = entry[_ADDRESS], entry.get(_COUNT) or entry.get(_SHORT_COUNT, 0)
        size = count * BLOCK_BYTES
        if address % BLOCK_BYTES or not size or address + size >= _ADDRESSES:
            raise ValueError(f"no run of pages: {count} at {address:#x}")
        if self._sizes and self._addresses[-1] + self._sizes[-1] == address:
            self._sizes[-1] += size  # CRIU cuts long runs
        else:
            self._addresses.append(address)
            self._sizes.append(size)


class Pagemaps:
    """The pagemaps that were seen and whose pages are still to come, in bounded memory.

    Of those that name the same pages image the newest holds: Podman's archive also has images of
    earlier checkpoints, of processes that have ended since.
    """

    def __init__(self) -> None:
        self._awaited: dict[tuple[bytes, int], Pagemap] = {}
        self._room = LIMIT_BYTES

    @property
    def streams(self) -> list[bytes]:
        """What is awaited, in the order of a tar's names: "pages-10.img" before "pages-2.img"."""
        keys = sorted(self._awaited, key=lambda key: (key[0], str(key[1])))
        return [self._awaited[key].stream for key in keys]

    def wants(self, name: bytes, size: int) -> bool:
        """Whether a member of this name and size is worth being given to `add`."""
        return size <= self._room and _PAGEMAP.fullmatch(name) is not None

    def add(self, name: bytes, image: Bytes, time: int) -> None:
        """Remember an image that was written at `time`; one that cannot be read is left out."""
        try:
            pagemap = Pagemap.parse(name, image, time)
        except (ValueError, LookupError):
            return
        key = _folder(name), pagemap.pages_id
        known = self._awaited.get(key)
        if known is None or known.time <= time:
            self._forget(key)
            self._awaited[key] = pagemap
            self._room -= pagemap.memory_bytes

    def take(self, name: bytes, size: int) -> Pagemap | None:
        """The pagemap of a pages image of this name and size, which is then forgotten."""
        if not (match := _PAGES.fullmatch(name)):
            return None
        pagemap = self._forget((_folder(name), int(match["id"])))
        return pagemap if pagemap and pagemap.size == size else None

    def _forget(self, key: tuple[bytes, int]) -> Pagemap | None:
        pagemap = self._awaited.pop(key, None)
        if pagemap:
            self._room += pagemap.memory_bytes
        return pagemap


def _folder(name: bytes) -> bytes:
    return name.rpartition(b"/")[0]


def _is_present(entry: dict[int, int]) -> bool:
    """CRIU before 2.0 wrote no flags: then all is present that is not in a parent."""
    if entry.get(_IN_PARENT):
        return False
    return bool(entry.get(_FLAGS, _PRESENT) & _PRESENT)


def _messages(image: Bytes) -> Iterator[dict[int, int]]:
    at = len(_MAGICS)
    while at < len(image):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(image[at:start], "little")
        if at > len(image):
            raise ValueError("a message is cut")
        yield _numbers(image[start:at])


def _numbers(message: Bytes) -> dict[int, int]:
    """The numbers of a protobuf message, by field; other fields are passed over."""
    found, at = dict[int, int](), 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            found[number], at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
            at += length
        else:
            at += _FIXED[kind]
    if at > len(message):
        raise ValueError("a field is cut")
    return found


def _varint(message: Bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number is too long")
