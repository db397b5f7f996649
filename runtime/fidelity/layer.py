"""A container's writable layer as a tar, from whatever shows it.

Podman's own tar of it (crutils, CRCreateRootFsDiffTar) lacks an image's file that was changed,
unless the *host* has a file of that path; modes and owners of directories; whatever a directory
holds that was removed and made again; access control lists; parts of seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from tarfile import ReadError, TarInfo
from typing import IO

from runtime.fidelity.rewrite import Layer
from runtime.fidelity.tarstream import XATTR, TarStream, header, padding

_DEFAULT_ACL = XATTR + "system.posix_acl_default"


class Kind(IntEnum):
    """What ``GET /containers/{id}/changes`` says of a path."""

    MODIFIED = 0  # the image has it, and it differs; or it is a directory above a change
    ADDED = 1
    DELETED = 2  # of the image; a directory that was made again is told so too


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One path of a layer; ``info.name`` is relative to its root, "/" for the root itself.

    An ``opaque`` directory hides what the image has in its place.
    """

    info: TarInfo
    content: Iterable[bytes] = ()
    opaque: bool = False


@dataclass(frozen=True, kw_only=True)
class Whiteout:
    """A path of the image ("/a/b") that is gone."""

    path: str


def written(layer: Iterable[Entry | Whiteout], entries: IO[bytes]) -> Layer:
    """Write a layer to the file ``entries``; only the names of deleted paths are held in memory.

    What is unpacked into a directory with a default access control list would inherit it, so such
    a directory comes once more at the end, with its list.
    """
    deleted, with_heirs = [], list[bytes]()
    for found in layer:
        if isinstance(found, Whiteout):
            deleted.append(found.path)
            continue
        if found.info.isdir() and _DEFAULT_ACL in found.info.pax_headers:
            with_heirs.append(header(found.info))
            records = found.info.pax_headers.items()
            found.info.pax_headers = {key: value for key, value in records if key != _DEFAULT_ACL}
        _write(found, entries)
    entries.writelines(with_heirs)
    return Layer(entries=entries, size=entries.tell(), deleted=tuple(deleted))


def _write(entry: Entry, entries: IO[bytes]) -> None:
    if entry.opaque:
        # Unpacking merges a directory into one that is there but replaces everything else: a file
        # takes the directory's place, with all below it. ``deleted.files`` would come too late.
        entries.write(header(TarInfo(entry.info.name)))
    entries.write(header(entry.info))
    expected = entry.info.size if entry.info.isreg() else 0
    size = sum(map(entries.write, entry.content)) if expected else 0
    if size != expected:
        raise ReadError(f"/{entry.info.name} has {size} bytes instead of {expected}")
    entries.write(bytes(padding(size)))


def exported(chunks: Iterable[bytes], changes: Mapping[str, Kind]) -> Iterator[Entry | Whiteout]:
    """Pick the layer out of an export of the whole root file system.

    It does not tell a layer from its image, so a directory that nothing changed in, but whose
    owner is another, is not among them.
    """
    touched, archive = _with_parents(changes), TarStream(chunks)
    gone = {path for path, kind in changes.items() if kind is Kind.DELETED}
    while member := archive.next():
        info, content = member.info, archive.content(member)
        path = "/" + info.name.removeprefix("./").strip("/.")
        info.name = path.lstrip("/") or "/"
        if path in touched or _as_json_has_it(path) in touched:
            yield Entry(info=info, content=content, opaque=path in gone and info.isdir())
            gone.discard(path)
        deque(content, maxlen=0)  # what the taker left of it
    yield from (Whiteout(path=path) for path in sorted(gone))


def _as_json_has_it(path: str) -> str:
    """Go's JSON has U+FFFD for bytes that are no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _with_parents(paths: Iterable[str]) -> frozenset[str]:
    touched = {"/"}
    for path in paths:
        while path not in touched:
            touched.add(path)
            path = path.rpartition("/")[0] or "/"
    return frozenset(touched)
