"""Look at a host's paths as its engine sees them, through the engine's own socket.

A container that is never started mounts the host's root, read-only; the archive endpoints of the
engine then tell what lies at a path. So a worker in another file system than the engine's (a
container, the lab) is no worse off than one beside it. Tried with Podman 5.4.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.canary_image import LABELS, new_name
from runtime.errors import EngineError, RuntimeEngineError
from runtime.libpod import LibpodClient
from runtime.preflight.facts import PathKind
from runtime.protocols import Runtime
from runtime.specs import Mount, NetworkAttachment, RunSpec

MOUNTED_AT = "/host"
STAT_HEADER = "X-Docker-Container-Path-Stat"
# Bits of Go's os.FileMode, which the header holds.
_DIRECTORY, _SOCKET, _DEVICE = 1 << 31, 1 << 24, 1 << 26


@dataclass(frozen=True, kw_only=True)
class Peek:
    """A host's root, seen through a container."""

    runtime: Runtime
    libpod: LibpodClient
    container: str

    def kind(self, path: str) -> PathKind:
        """What lies at a path of the host; symbolic links are followed."""
        absent = EngineError("look", "absent")
        try:
            with self.libpod.request(
                "HEAD",
                f"/containers/{self.container}/archive",
                operation=f"look at {path}",
                params={"path": f"{MOUNTED_AT}{path}"},
                on={"not found": absent},
            ) as response:
                stat = json.loads(base64.b64decode(response.headers[STAT_HEADER]))
        except EngineError as error:
            if error is absent:
                return PathKind.MISSING
            raise
        return _kind(stat["mode"])

    def read(self, path: str) -> str:
        """A text file's content; empty when there is no such file."""
        try:
            with self.runtime.get_archive(self.container, f"{MOUNTED_AT}{path}") as chunks:
                return _first_file(b"".join(chunks))
        except (RuntimeEngineError, tarfile.TarError):
            return ""


@contextmanager
def peeking(runtime: Runtime, libpod: LibpodClient, image: str) -> Iterator[Peek]:
    """See a host's root as long as the context lasts; ``image`` is any that is there."""
    container = runtime.run(
        RunSpec(
            name=new_name(),
            image=image,
            labels=LABELS,
            networks=(NetworkAttachment(name="none"),),
            mounts=(Mount(type="bind", source="/", target=MOUNTED_AT, read_only=True),),
        )
    )
    try:
        yield Peek(runtime=runtime, libpod=libpod, container=container)
    finally:
        runtime.remove(container, force=True)


def kinds(peek: Peek, paths: Iterable[str]) -> dict[str, PathKind]:
    """What lies at each of these paths."""
    return {path: peek.kind(path) for path in paths}


def _kind(mode: int) -> PathKind:
    for bit, kind in (
        (_DIRECTORY, PathKind.DIRECTORY),
        (_SOCKET, PathKind.SOCKET),
        (_DEVICE, PathKind.DEVICE),
    ):
        if mode & bit:
            return kind
    return PathKind.FILE


def _first_file(archive: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        member = files.next()
        content = files.extractfile(member) if member is not None else None
        return content.read().decode(errors="replace") if content is not None else ""
