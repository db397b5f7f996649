"""The archive on its way out: completed with what Podman's own export leaves behind.

A pure transformation of the outer tar in bounded memory. Its members and what the restore does
with them are Podman's (libpod/container_internal_common.go, exportCheckpoint and
importCheckpointTar; pkg/checkpoint/crutils): it unpacks ``rootfs-diff.tar`` over the image, then
removes what ``deleted.files`` lists, and fills each volume from ``volumes/NAME.tar``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, ReadError, TarInfo
from typing import IO

from runtime.fidelity.statistics import dump_statistics
from runtime.fidelity.tarstream import END, TarStream, header, padding

LAYER = "rootfs-diff.tar"
DELETED = "deleted.files"
STATISTICS = "stats-dump"
SHARED_MEMORY = "devshm-checkpoint.tar"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Supplement:
    """What a layer lacks in Podman's tar of it.

    ``front`` and ``tail`` are tar entries without the end's blocks. Podman's entries come between
    them; the last one of a path wins. ``kept`` are paths ("/a/b") that the restore must not delete.
    """

    front: bytes
    tail: IO[bytes]
    tail_size: int
    kept: frozenset[str]

    @property
    def size(self) -> int:
        """Bytes that it adds."""
        return len(self.front) + self.tail_size

    def tail_pieces(self) -> Iterator[bytes]:
        """Yield the tail in pieces of at most PIECE_BYTES."""
        self.tail.seek(0)
        while piece := self.tail.read(PIECE_BYTES):
            yield piece


def completed(
    chunks: Iterable[bytes], supplement: Supplement, statistics: dict[str, int]
) -> Iterator[bytes]:
    """Yield the completed archive; put CRIU's numbers into ``statistics`` as they pass by.

    Raises tarfile.TarError for an archive that ends early or is not what Podman writes.
    """
    outer, layer_seen = TarStream(chunks), False
    while member := outer.next():
        name, content = member.info.name, outer.content(member)
        if name == LAYER:
            layer_seen = True
            yield from _grown(member.info.size, content, supplement)
        elif name == DELETED:
            yield from _small(DELETED, _still_deleted(content, supplement))
        elif name == STATISTICS:
            image = b"".join(content)
            statistics.update(dump_statistics(image))
            yield from _small(STATISTICS, image)
        else:
            yield member.header
            rooted = name == SHARED_MEMORY or name.startswith("volumes/")
            yield from _rooted(content) if rooted and member.info.size else content
            yield bytes(padding(member.info.size))
    if supplement.size and not layer_seen:
        yield from _grown(len(END), iter([END]), supplement)
    yield from outer.rest()


def _grown(size: int, content: Iterator[bytes], supplement: Supplement) -> Iterator[bytes]:
    """Put the supplement around the layer's entries, before the blocks that end the tar."""
    if size < len(END):
        raise ReadError(f"{LAYER} has only {size} bytes")
    yield _header(LAYER, size + supplement.size)
    yield supplement.front
    inner = TarStream(content)
    yield from inner.take(size - len(END))
    yield from supplement.tail_pieces()
    if b"".join(inner.rest()) != END:  # else the tail would never be read
        raise ReadError(f"{LAYER} does not end as a tar does")
    yield END + bytes(padding(size + supplement.size))


def _still_deleted(content: Iterator[bytes], supplement: Supplement) -> bytes:
    """Leave out the directories that were made again: the restore deletes after it unpacked."""
    paths = json.loads(b"".join(content))
    return json.dumps([path for path in paths or () if path not in supplement.kept]).encode()


def _small(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content)) + content + bytes(padding(len(content)))


def _rooted(content: Iterator[bytes]) -> Iterator[bytes]:
    """Call the tar's root "/": Podman's unpacking leaves "." alone, with its mode and owner.

    The header keeps its length, so nothing else changes.
    """
    inner = TarStream(content)
    root = inner.next()
    if root is not None:
        yield _renamed(root.header) if root.info.name == "." else root.header
    yield from inner.rest()


def _renamed(blocks: bytes) -> bytes:
    """Put "/" for the name into the last header block; its checksum counts itself as spaces."""
    *_, block = (blocks[at : at + BLOCKSIZE] for at in range(0, len(blocks), BLOCKSIZE))
    block = b"/".ljust(100, b"\0") + block[100:148] + b" " * 8 + block[156:]
    checksum = b"%06o\0 " % sum(block)
    return blocks[:-BLOCKSIZE] + block[:148] + checksum + block[156:]


def _header(name: str, size: int) -> bytes:
    info = TarInfo(name)
    info.size, info.mode = size, 0o600
    return header(info)
