"""What happens to an archive's bytes between the source and the parts.

A codec is a pipeline of stages in stream order. Encryption will be one more stage, last in order,
so that what is sealed is what lies in the parts.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol, TypeAlias

from storage.frames import ZstdFrames
from storage.objects import Blob
from storage.streams import bounded

CodecName: TypeAlias = Literal["none", "zstd"]

PIECE_BYTES = 1 << 20


class Stage(Protocol):
    """One reversible step over a stream, in bounded memory."""

    def encode(self, chunks: Iterable[Blob]) -> Iterator[Blob]:
        """From the source towards the parts."""

    def decode(self, chunks: Iterable[Blob], *, archive: str) -> Iterator[Blob]:
        """And back. Raises ArchiveDamagedError, naming `archive`."""


_STAGES: dict[CodecName, tuple[Stage, ...]] = {
    "none": (),
    "zstd": (ZstdFrames(),),
}


def encode(codec: CodecName, chunks: Iterable[Blob]) -> Iterator[Blob]:
    """Encode a raw stream into what is stored."""
    for stage in _STAGES[codec]:
        chunks = stage.encode(chunks)
    return iter(chunks)


def decode(codec: CodecName, chunks: Iterable[Blob], *, archive: str) -> Iterator[bytes]:
    """Decode what is stored into the raw stream, in pieces of at most PIECE_BYTES.

    Raises ArchiveDamagedError, naming `archive`, when the stored stream is cut or makes no sense;
    that "none" cannot tell, only the archive's digest can.
    """
    for stage in reversed(_STAGES[codec]):
        chunks = stage.decode(chunks, archive=archive)
    return bounded(chunks, PIECE_BYTES)
