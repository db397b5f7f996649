"""Tar streams, member by member, in bounded memory and without touching what is passed on.

The format is POSIX's pax interchange format (pubs.opengroup.org, utility pax); the standard
library's tarfile reads it too, but gives no member's own header bytes back.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, ReadError, TarInfo

HEADERS_LIMIT_BYTES = 16 << 20  # extended headers of one member; a real one has some hundred bytes
XATTR = "SCHILY.xattr."  # how an extended attribute is called in an extended header
END = bytes(2 * BLOCKSIZE)
_GNU_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, *_GNU_NAMES)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member's header: the bytes as they came, and what they say."""

    header: bytes
    info: TarInfo


class TarStream:
    """Reads ``chunks``; whoever calls ``next`` must have consumed the content before.

    Every method raises tarfile.TarError for a stream that ends early or is no tar.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""  # read, but not yet asked for

    def next(self) -> Member | None:
        """Read the next member's header; None at the end, whose blocks ``rest`` gives."""
        headers, records = b"", dict[str, str]()
        while True:
            block = self.read(BLOCKSIZE)
            if not any(block):
                self._rest = block + self._rest
                return None
            info = TarInfo.frombuf(block, "utf-8", "surrogateescape")
            headers += block
            if info.type not in _EXTENDED:
                return Member(header=headers, info=_with_records(info, records))
            if info.size > HEADERS_LIMIT_BYTES:
                raise ReadError(f"an extended header of {info.size} bytes")
            content = self.read(info.size + padding(info.size))
            headers += content
            if info.type == tarfile.XHDTYPE:
                records.update(_pax_records(content[: info.size]))
            elif name := _GNU_NAMES.get(info.type):
                records[name] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")

    def content(self, member: Member) -> Iterator[bytes]:
        """Yield what a member holds; the padding after it is consumed too."""
        size = member.info.size if member.info.isreg() else 0
        yield from self.take(size)
        self.read(padding(size))

    def read(self, size: int) -> bytes:
        """Read exactly ``size`` bytes, which the caller knows to be few."""
        return b"".join(self.take(size))

    def take(self, size: int) -> Iterator[bytes]:
        """Yield exactly ``size`` bytes, in pieces as they come."""
        while size:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    raise ReadError("the archive ended early")
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Yield everything that is left."""
        yield self._rest
        self._rest = b""
        yield from self._chunks


def padding(size: int) -> int:
    """How many zero bytes follow a member's content of ``size`` bytes."""
    return -size % BLOCKSIZE


def header(info: TarInfo) -> bytes:
    """Spell a member's header blocks."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _with_records(info: TarInfo, records: dict[str, str]) -> TarInfo:
    """Let an extended header's records override the fields that were too small for them.

    What can be spelled anew is left out of ``pax_headers``, where it would override a change.
    """
    info.name = records.pop("path", info.name).rstrip("/") or "/"
    info.linkname = records.pop("linkpath", info.linkname)
    for field in "size", "uid", "gid":
        setattr(info, field, int(records.pop(field, getattr(info, field))))
    info.pax_headers = records
    return info


def _pax_records(content: bytes) -> dict[str, str]:
    """Read an extended header: records of ``LENGTH KEY=VALUE\\n``, LENGTH counting all of it."""
    records = {}
    while content:
        digits = content.partition(b" ")[0]
        if not digits.isdigit() or not len(digits) < int(digits) <= len(content):
            raise ReadError("a damaged extended header")
        record, content = content[: int(digits)], content[int(digits) :]
        key, _, value = record[len(digits) + 1 : -1].partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    return records
