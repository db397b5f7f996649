"""What Podman's tar of a container's writable layer lacks, collected into a temporary file.

Podman's checkpoint leaves out (libpod's crutils, CRCreateRootFsDiffTar): an image's file that was
changed, unless the *host* has a file of that path; modes and owners of directories; whatever a
directory holds that was removed and made again; links between a file of the image and a new name;
access control lists and other attributes than user.* and the capabilities.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from tarfile import ReadError, TarInfo
from typing import IO

from runtime.fidelity.rewrite import Supplement
from runtime.fidelity.tarstream import TarStream, header, padding

XATTR = "SCHILY.xattr."  # how an extended attribute is spelled in a pax header
_PODMANS = ("user.", "security.capability", "security.ima")  # it carries these itself


class Kind(IntEnum):
    """What ``GET /containers/{id}/changes`` says of a path."""

    MODIFIED = 0  # the image has it, and it differs; or it is a directory above a change
    ADDED = 1  # Podman's tar has it
    DELETED = 2  # of the image; a directory that was made again is told so too


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One path of a layer; ``info.name`` is relative to its root, "/" for the root itself."""

    info: TarInfo
    content: Iterable[bytes] = ()

    @property
    def path(self) -> str:
        """Its path as a container sees it."""
        return "/" + self.info.name.strip("/")


def collect(entries: Iterable[Entry], changes: Mapping[str, Kind], tail: IO[bytes]) -> Supplement:
    """Write what Podman's tar lacks of the ``entries`` to ``tail``.

    Memory grows by the number of directories that were made again, not by anybody's content.
    """
    front, kept = [], set()
    for entry in entries:
        if changes.get(entry.path) is Kind.DELETED and entry.info.isdir():
            front.append(_emptied(entry.info))
            kept.add(entry.path)
        if not _carried(entry, changes):
            _write(entry, tail)
    return Supplement(
        front=b"".join(front), tail=tail, tail_size=tail.tell(), kept=frozenset(kept)
    )


def _carried(entry: Entry, changes: Mapping[str, Kind]) -> bool:
    """Whether Podman's tar has the entry with all that belongs to it.

    What ``changes`` does not list is sent: a directory whose owner alone changed, and names that
    JSON cannot spell.
    """
    paths = [entry.path, *(["/" + entry.info.linkname] if entry.info.islnk() else [])]
    if any(changes.get(path) is not Kind.ADDED for path in paths):
        return False
    names = (key.removeprefix(XATTR) for key in entry.info.pax_headers if key.startswith(XATTR))
    return all(name.startswith(_PODMANS) for name in names)


def _emptied(info: TarInfo) -> bytes:
    """Empty a directory of the image: a file takes its place, with all below it, then it returns.

    Podman's unpacking merges a directory into one that is there, and replaces everything else.
    """
    stand_in = TarInfo(info.name)
    return header(stand_in) + header(info)


def _write(entry: Entry, tail: IO[bytes]) -> None:
    tail.write(header(entry.info))
    expected = entry.info.size if entry.info.isreg() else 0
    size = sum(map(tail.write, entry.content)) if expected else 0
    if size != expected:
        raise ReadError(f"{entry.path} has {size} bytes instead of {expected}")
    tail.write(bytes(padding(size)))


def exported(chunks: Iterable[bytes], changes: Mapping[str, Kind]) -> Iterator[Entry]:
    """Read the entries that concern ``changes`` from an export of the whole root file system.

    It does not tell a layer from its image, so a directory that nothing changed in, but whose
    owner is another, is not among them.
    """
    touched, archive = _with_parents(changes), TarStream(chunks)
    while member := archive.next():
        info, content = member.info, archive.content(member)
        info.name = info.name.removeprefix("./")
        entry = Entry(info=info, content=content)
        if entry.path in touched:
            yield entry
        deque(content, maxlen=0)  # what the taker left of it


def _with_parents(paths: Iterable[str]) -> frozenset[str]:
    touched = {"/"}
    for path in paths:
        while path not in touched:
            touched.add(path)
            path = path.rpartition("/")[0] or "/"
    return frozenset(touched)
