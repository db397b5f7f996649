"""Podman's own checkpoint exports: read what they say of their container, in passing.

A tar, plain or compressed with zstd or gzip, as ``podman container checkpoint --export`` writes it.
``config.dump`` in it is libpod's configuration of the container (libpod/container_config.go),
``network.status`` the networks it had (libpod/container_internal_common.go, exportCheckpoint).
"""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from typing import IO, Any, cast

import zstandard
from pydantic import ValidationError

from runtime.errors import NotACheckpointError
from runtime.exported_spec import ExportedContainer, exported_container
from runtime.fidelity.tarstream import Member, TarStream, padding

PIECE_BYTES = 1 << 20
CONFIG, NETWORKS = "config.dump", "network.status"
DUMP_LIMIT_BYTES = 16 << 20
MEMORY = "checkpoint/inventory.img"  # CRIU writes it with every dump
PREVIOUS = "checkpoint/parent"  # a link to the pre-checkpoint that this one builds on
_ZSTD, _GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
# What may come before config.dump; anything else is another kind of tar.
_USUAL = frozenset(
    {
        *("artifacts", "devshm-checkpoint.tar", "spec.dump", NETWORKS, "stats-dump", "ctr.log"),
        *("dump.log", "restore.log", "checkpoint", "pre-checkpoint", "bind.mounts"),
    }
)


class ExportReader:
    """Iterate once for the plain tar, in bounded memory; then ``container`` is known.

    ``name`` is how errors call the file. Iterating raises NotACheckpointError, as soon as it is
    clear, for whatever Podman could not restore.
    """

    def __init__(self, file: BufferedReader, name: str) -> None:
        self._file = file
        self._name = name
        self._dumps: dict[str, Any] = {}
        self._seen: set[str] = set()
        self._container: ExportedContainer | None = None

    @property
    def container(self) -> ExportedContainer:
        """What the export says of its container. Raises NotACheckpointError before the end."""
        if self._container is None:
            raise NotACheckpointError(self._name, "it was not read to its end")
        return self._container

    def __iter__(self) -> Iterator[bytes]:
        try:
            outer = TarStream(_pieces(_plain(self._file)))
            while member := outer.next():
                self._check(member)
                yield member.header
                yield from self._content(outer, member)
            yield from outer.rest()
            self._container = self._described()
        except (tarfile.TarError, zstandard.ZstdError, zlib.error, EOFError, gzip.BadGzipFile) as e:
            raise NotACheckpointError(self._name, str(e) or type(e).__name__) from e

    def _content(self, outer: TarStream, member: Member) -> Iterator[bytes]:
        size = member.info.size if member.info.isreg() else 0
        if member.info.name not in (CONFIG, NETWORKS):
            yield from outer.take(size + padding(size))
            return
        if size > DUMP_LIMIT_BYTES:
            raise self._refused(f"its {member.info.name} has {size} bytes")
        content = outer.read(size)
        try:
            self._dumps[member.info.name] = json.loads(content)
        except ValueError as error:
            raise self._refused(f"its {member.info.name} is no JSON") from error
        yield content + outer.read(padding(size))

    def _check(self, member: Member) -> None:
        name = member.info.name
        self._seen.add(name if name in (MEMORY, PREVIOUS) else "")
        if CONFIG not in self._dumps and name.partition("/")[0] not in {*_USUAL, CONFIG}:
            raise self._refused(f"it holds {name!r} and no {CONFIG} before that")

    def _described(self) -> ExportedContainer:
        if CONFIG not in self._dumps:
            raise self._refused(f"it holds no {CONFIG}")
        if PREVIOUS in self._seen:
            raise self._refused("it builds on a pre-checkpoint, which is another file")
        if MEMORY not in self._seen:
            raise self._refused(f"it holds no {MEMORY}, so no memory")
        try:
            return exported_container(self._dumps[CONFIG], self._dumps.get(NETWORKS) or {})
        except (ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._refused(f"its {CONFIG} makes no sense ({type(error).__name__})") from error

    def _refused(self, reason: str) -> NotACheckpointError:
        return NotACheckpointError(self._name, reason)


def _plain(file: BufferedReader) -> IO[bytes]:
    start = file.peek(len(_ZSTD))
    if start.startswith(_ZSTD):
        decompressor = zstandard.ZstdDecompressor()
        return cast("IO[bytes]", decompressor.stream_reader(file, read_across_frames=True))
    if start.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    return file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece
