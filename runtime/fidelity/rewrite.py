"""The archive on its way out: what Podman's own export leaves behind is put in.

A pure transformation of the outer tar in bounded memory. Its members and what a restore does with
them are Podman's (libpod/container_internal_common.go, exportCheckpoint and importCheckpointTar;
pkg/checkpoint/crutils): it unpacks ``rootfs-diff.tar`` over the image, then removes what
``deleted.files`` lists, and fills each volume from ``volumes/NAME.tar``.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, TarInfo
from typing import IO

from runtime.fidelity.statistics import dump_statistics
from runtime.fidelity.tarstream import END, TarStream, header, padding

LAYER = "rootfs-diff.tar"
DELETED = "deleted.files"
STATISTICS = "stats-dump"
SHARED_MEMORY = "devshm-checkpoint.tar"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A container's writable layer: the first ``size`` bytes of ``entries`` are a tar of it.

    The tar lacks the blocks that end it. ``deleted`` are paths of the image ("/a/b") that are gone.
    """

    entries: IO[bytes]
    size: int
    deleted: tuple[str, ...] = ()


def completed(
    chunks: Iterable[bytes], layer: Layer | None, statistics: dict[str, int]
) -> Iterator[bytes]:
    """Yield the archive with ``layer`` in it; put CRIU's numbers into ``statistics`` in passing.

    A layer that the archive had is left out. Raises tarfile.TarError for one that ends early.
    """
    outer = TarStream(chunks)
    while member := outer.next():
        name, content = member.info.name, outer.content(member)
        if name in (LAYER, DELETED):
            deque(content, maxlen=0)
        elif name == STATISTICS:
            image = b"".join(content)
            statistics.update(dump_statistics(image))
            yield from _small(STATISTICS, image)
        else:
            yield member.header
            rooted = name == SHARED_MEMORY or name.startswith("volumes/")
            yield from _rooted(content) if rooted and member.info.size else content
            yield bytes(padding(member.info.size))
    if layer is not None:
        yield from layer_members(layer)
    yield from outer.rest()


def layer_members(layer: Layer) -> Iterator[bytes]:
    """Spell the members of an archive that hold a layer."""
    if layer.size:
        yield from tar_member(LAYER, layer)
    if layer.deleted:
        yield from _small(DELETED, json.dumps(layer.deleted).encode("utf-8", "surrogateescape"))


def tar_member(name: str, tree: Layer) -> Iterator[bytes]:
    """Spell a member that is a tar of its own, with the blocks that end it."""
    size = tree.size + len(END)
    yield _header(name, size)
    tree.entries.seek(0)
    yield from iter(lambda: tree.entries.read(PIECE_BYTES), b"")
    yield END + bytes(padding(size))


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
