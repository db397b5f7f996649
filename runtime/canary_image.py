"""An image of one tiny program that does nothing, made without a registry or a compiler.

Containers of it prove that CRIU works, and show what lies at a host's paths. Names carry the
moment they were made at, so that what a killed worker left can be told from what is in use.
"""

from __future__ import annotations

import io
import secrets
import struct
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import EngineError
from runtime.libpod import LibpodClient
from runtime.protocols import Runtime
from runtime.upload import Upload

CANARY_LABEL = "podferry.canary"
LABELS = {CANARY_LABEL: "1"}
STEM = "podferry-canary"
_LOAD_ADDRESS = 0x400000
_HEADERS_BYTES = 64 + 56  # an ELF header and one program header
# ELF's number of each machine, and instructions that wait for a signal for ever.
_PROGRAMS = {
    # mov eax, 34 (pause); syscall; jmp back
    "amd64": (62, bytes.fromhex("b822000000 0f05 ebf7")),
    # mov x0..x3, 0; mov x8, 73 (ppoll); svc 0; b back
    "arm64": (183, struct.pack("<7I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003,
                               0xD2800928, 0xD4000001, 0x17FFFFFA)),
}  # fmt: skip


def new_name() -> str:
    """A name for a container of this image."""
    return f"{STEM}-{_moment()}"


@contextmanager
def canary_image(runtime: Runtime, libpod: LibpodClient, architecture: str) -> Iterator[str]:
    """Import the image, give its name, remove it. Raises EngineError for other architectures."""
    if architecture not in _PROGRAMS:
        raise EngineError("the canary", f"there is none for {architecture}")
    name = f"localhost/{STEM}:{_moment()}"
    libpod.json(
        "/images/import",
        method="POST",
        operation="import of the canary",
        params={
            "reference": name,
            "changes": ['ENTRYPOINT ["/canary"]', f"LABEL {CANARY_LABEL}=1"],
        },
        upload=Upload([_tar(program(architecture))]),
    )
    try:
        yield name
    finally:
        runtime.remove_image(name)


def sweep(runtime: Runtime, *, older_than_seconds: float) -> None:
    """Remove what killed runs left, except what is younger."""
    limit = time.time() - older_than_seconds
    for container in runtime.find_containers(LABELS):
        if _made_at(container.name) <= limit:
            runtime.remove(container.id, force=True)
    for image in runtime.find_images(LABELS):
        for name in image.names:
            if _made_at(name) <= limit:
                runtime.remove_image(name)


def program(architecture: str) -> bytes:
    """A static ELF executable (see elf(5)): the headers and a handful of instructions."""
    machine, code = _PROGRAMS[architecture]
    size = _HEADERS_BYTES + len(code)
    entry = _LOAD_ADDRESS + _HEADERS_BYTES
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian, version 1
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x10000)
    return header + segment + code


def _tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("canary")
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _moment() -> str:
    return f"{int(time.time())}-{secrets.token_hex(4)}"


def _made_at(name: str) -> int:
    """The moment in a container's or image's name; 0 for a name that somebody else gave."""
    moment = name.rpartition("-")[0].rpartition("-")[2].rpartition(":")[2]
    return int(moment) if moment.isdecimal() else 0
