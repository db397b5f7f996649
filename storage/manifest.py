"""Manifests: the records that make a checkpoint or an image out of parts."""

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from storage.codec import CodecName
from storage.objects import require_key

_WORKLOAD = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_CHECKPOINT_ID = rf"(?P<workload>{_WORKLOAD})/\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}"

Bytes = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Workload = Annotated[str, Field(pattern=rf"^{_WORKLOAD}$")]


class _Record(BaseModel):
    # a spec may hold secrets: an invalid value is not repeated in the error about it
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Part(_Record):
    """One stored object of an archive."""

    size: Bytes
    sha256: Sha256


class Archive(_Record):
    """A byte stream in parts, with all that is needed to read and verify it.

    `prefix` is the key prefix of the parts, `size` the bytes stored, `raw_size` and `raw_sha256`
    describe the stream as its source gave it.
    """

    prefix: Annotated[str, AfterValidator(require_key)]
    codec: CodecName
    parts: tuple[Part, ...]
    size: Bytes
    raw_size: Bytes
    raw_sha256: Sha256

    @model_validator(mode="after")
    def _sizes_agree(self) -> "Archive":
        if self.size != sum(part.size for part in self.parts):
            raise ValueError("size is not the sum of the parts' sizes")
        return self


class ImageRef(_Record):
    """The image a container ran from; `archived` when the store has a copy of it."""

    name: str
    id: str
    archived: bool


class Imported(_Record):
    """Of a checkpoint that Podferry did not take: what the archive calls its container.

    `unknown` says, for people to read, what the archive does not tell of it: a cold start would go
    without.
    """

    container: str
    unknown: tuple[str, ...]


class CheckpointManifest(_Record):
    """A checkpoint of one workload: written last, so what has one is complete.

    `spec` is what a cold start needs to run the container again; `networks` and
    `volume_specs` are how to make those that are missing on another host. What may hold secrets is
    left out of the repr. `statistics` and `facts` (about the host) are for people and
    for placement; this package does not look into them. An imported one has no `host`.
    """

    version: Literal[1] = 1
    id: str
    workload: Workload
    created: UtcDatetime
    host: str
    container_id: str
    image: ImageRef
    spec: dict[str, JsonValue] = Field(repr=False)
    volumes: tuple[str, ...] = ()
    networks: tuple[dict[str, JsonValue], ...] = ()
    volume_specs: tuple[dict[str, JsonValue], ...] = Field(default=(), repr=False)
    archive: Archive
    imported: Imported | None = None
    statistics: dict[str, JsonValue] = {}
    facts: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _is_of_its_workload(self) -> "CheckpointManifest":
        if workload_of(self.id) != self.workload:
            raise ValueError("id belongs to another workload")
        return self


class ImageManifest(_Record):
    """An image that no registry serves, kept once under its id."""

    version: Literal[1] = 1
    id: str
    names: tuple[str, ...]
    created: UtcDatetime
    archive: Archive


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


def workload_of(checkpoint_id: str) -> str:
    """The workload that a checkpoint id belongs to. Raises ValueError when it is no such id."""
    match = re.fullmatch(_CHECKPOINT_ID, checkpoint_id)
    if match is None:
        raise ValueError(f"not a checkpoint id: {checkpoint_id!r}")
    return match["workload"]
