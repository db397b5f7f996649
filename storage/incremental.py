"""Checkpoints that are stored as what changed since another: written, and made whole again."""

import itertools
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from storage.errors import StorageError
from storage.manifest import Archive, BaseRef, PageRecord, new_archive_prefix
from storage.objects import Blob
from storage.pages import (
    KEY_BYTES,
    PageIndex,
    PageIndexError,
    ParentIndex,
    encode_delta,
    rebuild,
    record_pages,
)
from storage.reading import Reader
from storage.streams import large_file
from storage.transfer import Meter, Progress, Writer

DELTA_PART_BYTES = 4 << 20
"""Parts of deltas and indexes: small, because all archives of a chain are read at once."""

_PIECE_BYTES = 1 << 20


class Base:
    """What the next checkpoint is told apart from: its page index, at hand and verified."""

    def __init__(self, ref: BaseRef, file: IO[bytes]) -> None:
        self.ref = ref
        self._file = file
        file.seek(0)
        self.key = file.read(KEY_BYTES)

    def index(self) -> ParentIndex:
        """The index, from its beginning; one at a time."""
        self._file.seek(KEY_BYTES)
        chunks = iter(lambda: self._file.read(_PIECE_BYTES), b"")
        return ParentIndex(chunks, key=self.key, name=self.ref.pages.index.prefix)

    def verify(self) -> None:
        """Read all of it. Raises PageIndexError."""
        name, pages = self.ref.pages.index.prefix, self.ref.pages
        if len(self.key) < KEY_BYTES:
            raise PageIndexError(name, "it ends early")
        index = self.index()
        if (index.tar_bytes, index.tar_digest.hex()) != (pages.tar_bytes, pages.tar_digest):
            raise PageIndexError(name, "it is of another tar")
        index.verify()


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was stored of a checkpoint: `archive` is a delta when there is a `base`.

    `pages` is missing when nobody wanted an index.
    """

    archive: Archive
    tar_bytes: int
    pages: PageRecord | None
    base: BaseRef | None

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return self.archive.size + (self.pages.index.size if self.pages else 0)

    @property
    def fields(self) -> dict[str, object]:
        """What a manifest says of it, besides what was announced."""
        rebuilt = self.tar_bytes if self.base else None
        return {"archive": self.archive, "rebuilt_bytes": rebuilt, "pages": self.pages}

    def as_base(self) -> BaseRef:
        """What the checkpoint in whose place it lies can be told apart from, before it is one.

        Raises ValueError for a delta (nobody would know of its parent), and without an index.
        """
        if self.base is not None or self.pages is None:
            raise ValueError("a base must be a full archive with an index")
        return BaseRef(parent=None, chain=(self.archive,), pages=self.pages)


class Increments:
    """Writes and reads deltas, with `full` and `small` parts."""

    def __init__(
        self, *, full: Writer, small: Writer, reader: Reader, delete: Callable[[Archive], None]
    ) -> None:
        self._full = full
        self._small = small
        self._reader = reader
        self._delete = delete

    def write(
        self,
        prefix: str,
        tar: Iterable[Blob],
        base: Base | None,
        progress: Progress | None,
        *,
        index_wanted: bool,
    ) -> Written:
        """See ArchiveStore.write_pages."""
        if base is None and not index_wanted:
            archive = self._full.write(prefix, tar, progress)
            return Written(archive=archive, tar_bytes=archive.raw_size, pages=None, base=None)
        # A new chain, a new key. It is in front of the index, so it needs no rotation of its own.
        key = base.key if base else secrets.token_bytes(KEY_BYTES)
        tar = Meter(progress).watch(tar)
        with PageIndex(key) as index:
            if base:
                delta = encode_delta(tar, base.index(), index)
                archive = self._small.write(prefix, delta, None)
            else:
                archive = self._full.write(prefix, record_pages(tar, index), None)
            return Written(
                archive=archive,
                tar_bytes=index.tar_bytes,
                pages=self._store(index, archive) if index_wanted else None,
                base=base.ref if base else None,
            )

    def _store(self, index: PageIndex, archive: Archive) -> PageRecord:
        """Store an index beside its archive, or take that away too."""
        beside = new_archive_prefix(archive.prefix.rpartition("/")[0])
        try:
            stored = self._small.write(beside, itertools.chain([index.key], index.chunks()), None)
        except BaseException:
            with suppress(StorageError):  # what stays is an orphan
                self._delete(archive)
            raise
        return PageRecord(
            index=stored, tar_bytes=index.tar_bytes, tar_digest=index.tar_digest.hex()
        )

    @contextmanager
    def base(self, ref: BaseRef) -> Iterator[Base]:
        """See ArchiveStore.base."""
        with large_file() as file:
            for piece in self._reader.read(ref.pages.index, None):
                file.write(piece)
            base = Base(ref, file)
            base.verify()
            yield base

    def read(
        self,
        chain: Sequence[Archive],
        last: Generator[Blob, None, None],
        name: str,
        progress: Progress | None,
    ) -> Generator[Blob, None, None]:
        """The tar of which `last` is the delta; it is closed with those of the chain.

        They are read in step. The full one may be read ahead as any archive, each delta by a part.
        """
        with ExitStack() as opened:
            full = self._reader.read(chain[0], None)
            deltas = [*(self._reader.read(delta, None, parallel=1) for delta in chain[1:]), last]
            for stream in full, *deltas:
                opened.enter_context(closing(stream))
            yield from Meter(progress).watch(rebuild(full, deltas, archive=name))
