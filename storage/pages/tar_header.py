"""A tar member's header, as the bytes that it is and what they say.

The standard library's tarfile gives no member's own header bytes back, and reads no stream.
"""

import tarfile
from tarfile import BLOCKSIZE, HeaderError, TarInfo
from typing import NamedTuple

from storage.pages.reader import Bytes, Reader

LIMIT_BYTES = 1 << 20  # a header with all its extensions; a real one has some hundred bytes
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Header(NamedTuple):
    """`raw` as it was read; `size` of the content in bytes, None if `raw` is no header.

    `time` is when the file was written, in whole seconds.
    """

    raw: Bytes
    name: bytes = b""
    size: int | None = None
    time: int = 0


def read_header(source: Reader, limit: int = LIMIT_BYTES) -> Header:
    """Read a header of at most `limit` bytes; at the end of a tar, or where none is, see Header."""
    raw, said, limit = bytearray(), dict[str, bytes](), min(limit, LIMIT_BYTES)
    while len(raw) + BLOCKSIZE <= limit:
        block = source.read(BLOCKSIZE)
        raw += block
        try:
            info = TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.type not in _EXTENSIONS:
                return _header(raw, info, said)
            size = padded(info.size)
            if not 0 <= size <= limit - len(raw):
                break
            content = source.read(size)
            raw += content
            said |= _said(info, content[: info.size])
        except (HeaderError, ValueError):
            break
    return Header(raw)


def padded(size: int) -> int:
    """How many bytes a content of `size` takes in a tar."""
    return size + -size % BLOCKSIZE


def _header(raw: Bytes, info: TarInfo, said: dict[str, bytes]) -> Header:
    name = said.get("path") or info.name.encode("utf-8", "surrogateescape")
    holds = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
    size = int(said.get("size", info.size)) if holds else 0
    return Header(raw, name, size, int(info.mtime)) if size >= 0 else Header(raw)


def _said(info: TarInfo, content: Bytes) -> dict[str, bytes]:
    """What an extension says of the name and the size."""
    if info.type == tarfile.XHDTYPE:
        return _records(bytes(content))
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": bytes(content).rstrip(b"\0")}
    return {}


def _records(content: bytes) -> dict[str, bytes]:
    """Records of `LENGTH KEY=VALUE\\n`, where LENGTH counts all of it. Raises ValueError."""
    found = {}
    while content:
        length = int(content.partition(b" ")[0])
        if not 0 < length <= len(content):
            raise ValueError("no record of an extended header")
        key, _, value = content[:length].rstrip(b"\n").partition(b" ")[2].partition(b"=")
        found[key.decode("utf-8", "replace")] = value
        content = content[length:]
    return found
