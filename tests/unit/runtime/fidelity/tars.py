"""Made-up tars."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from tarfile import TarInfo
from typing import Literal


def member(name: str, content: bytes = b"", **fields: object) -> tuple[TarInfo, bytes]:
    info = TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str, **fields: object) -> tuple[TarInfo, bytes]:
    return member(name, b"", type=tarfile.DIRTYPE, **fields)


def tar(*members: tuple[TarInfo, bytes], format: Literal[1, 2] = tarfile.PAX_FORMAT) -> bytes:
    """A tar that ends as Go's do: two blocks of zeros and no more."""
    spelled = (
        info.tobuf(format, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)
        for info, content in members
    )
    return b"".join(spelled) + bytes(1024)


def contents(archive: bytes) -> Mapping[str, bytes]:
    """What the standard library finds in a tar; directories are empty."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        files = ((info, opened.extractfile(info)) for info in opened)
        return {info.name: file.read() if file else b"" for info, file in files}


def infos(archive: bytes) -> list[TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        return opened.getmembers()


def cut(archive: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The archive in pieces of these sizes, then the rest."""
    for size in sizes:
        yield archive[:size]
        archive = archive[size:]
    yield archive
