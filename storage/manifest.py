"""Manifests: the records that make a checkpoint or an image out of parts."""

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    model_validator,
)

from storage.objects import require_key
from storage.records import Bytes, Record, Sha256, UtcDatetime
from storage.sealed import FORMAT_VERSION

_WORKLOAD = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_CHECKPOINT_ID = rf"(?P<workload>{_WORKLOAD})/\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}"

CHAIN_LIMIT = 31
"""No checkpoint needs more archives than this besides its own."""

Workload = Annotated[str, Field(pattern=rf"^{_WORKLOAD}$")]


class Archive(Record):
    """A stored byte stream: what its reader must find, no more and no less.

    `prefix` is the key prefix of its header and parts, `header_sha256` the digest of the header
    before it was sealed, `size` the bytes of all parts, `segments` how many sealed segments they
    are, and `raw_size` the length of the stream as its source gave it. There is no digest of the
    content: each segment is authenticated under a key that was used for this archive only.
    """

    prefix: Annotated[str, AfterValidator(require_key)]
    header_sha256: Sha256
    size: Bytes
    segments: Bytes
    raw_size: Bytes


class PageRecord(Record):
    """What the next checkpoint needs, to be told apart from this one.

    `index` holds the page index, `tar_bytes` and `tar_digest` (BLAKE3) are of the tar that the
    index is of: the checkpoint's own, however much of it is stored.
    """

    index: Archive
    tar_bytes: Bytes
    tar_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BaseRef(Record):
    """What a checkpoint can be told apart from.

    `parent` is the checkpoint that it is; without one it was stored for a single checkpoint, and
    lies in its place. `chain` holds the archives to rebuild its tar from, the full one first.
    """

    parent: str | None
    chain: Annotated[tuple[Archive, ...], Field(min_length=1, max_length=CHAIN_LIMIT)]
    pages: PageRecord


class ImageRef(Record):
    """The image a container ran from; `archived` when the store has a copy of it."""

    name: str
    id: str
    archived: bool


class Imported(Record):
    """Of a checkpoint that Podferry did not take: what the archive calls its container.

    `unknown` says, for people to read, what the archive does not tell of it: a cold start would go
    without.
    """

    container: str
    unknown: tuple[str, ...]


class CheckpointDraft(Record):
    """What is known of a checkpoint before its archive is complete.

    `spec` is what a cold start needs to run the container again; `networks` and
    `volume_specs` are how to make those that are missing on another host. What may hold secrets is
    left out of the repr. `facts` (about the host) are for people and for placement; this package
    does not look into them. An imported one has no `host`. Without `memory` it is of a container
    that was stopped: its files can be brought back, its process not.

    `parent` is the checkpoint that this one is told apart from, and `chain` the archives that its
    own, a delta then, is to be applied to: the full one first. A chain without a parent is this
    checkpoint's alone, and lies in its place.
    """

    version: Literal[2] = FORMAT_VERSION
    id: str
    workload: Workload
    created: UtcDatetime
    host: str
    container_id: str
    memory: bool = True
    image: ImageRef
    spec: dict[str, JsonValue] = Field(repr=False)
    volumes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()  # that it had in its networks
    group: str = ""  # the id of the group checkpoint that it is a part of
    shared_volumes: tuple[str, ...] = ()  # mounted by other members too; one of them has them
    networks: tuple[dict[str, JsonValue], ...] = ()
    volume_specs: tuple[dict[str, JsonValue], ...] = Field(default=(), repr=False)
    imported: Imported | None = None
    parent: str | None = None
    chain: tuple[Archive, ...] = Field(default=(), max_length=CHAIN_LIMIT)
    facts: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_of_its_workload(self) -> Self:
        if workload_of(self.id) != self.workload:
            raise ValueError("id belongs to another workload")
        if self.parent is not None and workload_of(self.parent) != self.workload:
            raise ValueError("parent belongs to another workload")
        return self

    @model_validator(mode="after")
    def _chain_ends_at_its_parent(self) -> Self:
        place = f"checkpoints/{self.parent or self.id}/"
        if self.parent is not None and not self.chain:
            raise ValueError("there is a parent, and no chain")
        if self.chain and not self.chain[-1].prefix.startswith(place):
            raise ValueError("chain ends elsewhere")
        return self


class CheckpointManifest(CheckpointDraft):
    """A checkpoint of one workload: written last, so what has one is complete.

    `rebuilt_bytes` is the size of the tar that a chain makes. `pages` is there when the next one
    may be told apart from this one. `statistics` are CRIU's, for people.
    """

    archive: Archive
    rebuilt_bytes: Bytes | None = None
    pages: PageRecord | None = None
    statistics: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def tar_bytes(self) -> int:
        """The size of the tar that it stands for."""
        return self.archive.raw_size if self.rebuilt_bytes is None else self.rebuilt_bytes

    @property
    def stored_bytes(self) -> int:
        """What it takes in the store, besides what others keep there for it."""
        return self.archive.size + (self.pages.index.size if self.pages else 0)

    @property
    def base(self) -> BaseRef | None:
        """What the next checkpoint can be told apart from, if this one was stored for that."""
        if self.pages is None or len(self.chain) >= CHAIN_LIMIT:
            return None
        return BaseRef(parent=self.id, chain=(*self.chain, self.archive), pages=self.pages)


class GroupManifest(Record):
    """Checkpoints of several containers of one moment: written after theirs.

    `kind` says what makes them one ("project", "pod"); `members` are their ids, in the order in
    which they are brought back. `pod` is how to make the pod that they are in, `networks` how to
    make its networks where they are missing.
    """

    version: Literal[2] = FORMAT_VERSION
    id: str
    workload: Workload
    kind: str
    created: UtcDatetime
    host: str
    members: tuple[str, ...] = Field(min_length=1)
    pod: dict[str, JsonValue] | None = None
    networks: tuple[dict[str, JsonValue], ...] = ()

    @model_validator(mode="after")
    def _is_of_one_moment(self) -> "GroupManifest":
        if any(
            member != member_checkpoint_id(self.id, workload_of(member)) for member in self.members
        ):
            raise ValueError("a member is of another checkpoint")
        return self


class ImageManifest(Record):
    """An image that no registry serves, kept once under its id."""

    version: Literal[2] = FORMAT_VERSION
    id: str
    names: tuple[str, ...]
    created: UtcDatetime
    archive: Archive


def new_archive_prefix(place: str) -> str:
    """Where an archive is written, below `place`: another at each try, so that no two mix."""
    return f"{require_key(place)}/{secrets.token_hex(8)}"


def new_checkpoint_id(workload: str, now: datetime) -> str:
    """A fresh id such as `web/20261123T140311Z-1f9a0c`; ids of one workload sort by time.

    Raises ValueError when `workload` is not a container name or `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone")
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    checkpoint_id = f"{workload}/{stamp}-{secrets.token_hex(3)}"
    workload_of(checkpoint_id)
    return checkpoint_id


def member_checkpoint_id(group_id: str, workload: str) -> str:
    """The id of a member's checkpoint: its own name, and the moment of the group's."""
    return f"{workload}/{group_id.rpartition('/')[2]}"


def workload_of(checkpoint_id: str) -> str:
    """The workload that a checkpoint id belongs to. Raises ValueError when it is no such id."""
    match = re.fullmatch(_CHECKPOINT_ID, checkpoint_id)
    if match is None:
        raise ValueError(f"not a checkpoint id: {checkpoint_id!r}")
    return match["workload"]
