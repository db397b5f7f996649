"""What is known of a host: what its worker tells of it, and what operators say of it."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import AwareDatetime, Field

from runtime import Canary, HostFacts, Room
from tasks.errors import InvalidRequestError
from tasks.models import HostName, Model, now

_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}")


class HostState(StrEnum):
    """Whether a host takes workloads."""

    ACTIVE = "active"
    CORDONED = "cordoned"  # an operator keeps new workloads away; what is there goes on
    DRAINING = "draining"  # cordoned by a drain, which moves away what is there
    OFFLINE = "offline"  # its worker sends no heartbeat


class Cordon(Model):
    """Why a host takes no new workloads. ``drain`` is the id of the drain that keeps them away."""

    reason: str = ""
    since: AwareDatetime = Field(default_factory=now)
    drain: str = ""
    rings: bool = False  # for its drain, whenever its host has told what it holds


class HostReport(Model):
    """What a worker tells of its host. ``facts`` is None until its engine has answered."""

    host: HostName
    taken: AwareDatetime = Field(default_factory=now)
    labels: dict[str, str] = Field(default_factory=dict)  # from the worker's own settings
    facts: HostFacts | None = None
    room: Room = Room()


class HostStatus(Model):
    """A host as an operator sees it. ``labels`` are its worker's, then the operators' own."""

    host: HostName
    state: HostState
    online: bool
    engine: str = ""
    containers: int = 0
    seen: AwareDatetime
    error: str = ""
    canary: Canary = Canary()
    left: bool = False  # offline because its worker was told to stop
    old_copies: tuple[str, ...] = ()  # stopped here, for they were brought up elsewhere
    labels: dict[str, str] = Field(default_factory=dict)
    cordon: Cordon | None = None
    facts: HostFacts | None = None
    room: Room = Room()
    rate: float | None = None  # bytes per second that it last sent a checkpoint with

    @property
    def memory_free_bytes(self) -> int | None:
        """Memory that programs may still take there; None: not known."""
        told = self.facts.memory_free_bytes if self.facts else None
        return told if self.room.memory_bytes is None else self.room.memory_bytes

    @property
    def disk_free_bytes(self) -> int | None:
        """Room where the engine keeps images and containers; None: not known."""
        told = self.facts.disk_free_bytes if self.facts else None
        return told if self.room.disk_bytes is None else self.room.disk_bytes


def state_of(online: bool, cordon: Cordon | None) -> HostState:
    """The state of a host."""
    if not online:
        return HostState.OFFLINE
    if cordon is None:
        return HostState.ACTIVE
    return HostState.DRAINING if cordon.drain else HostState.CORDONED


def parse_labels(text: str) -> dict[str, str]:
    """Labels as people write them, ``zone=a,disk=ssd``. Raises InvalidRequestError."""
    words = (word.strip() for word in text.split(","))
    return dict(parse_label(word) for word in words if word)


def parse_label(word: str) -> tuple[str, str]:
    """One label, ``zone=a``. Raises InvalidRequestError."""
    key, equals, value = word.partition("=")
    if not equals or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
        raise InvalidRequestError(
            f"label {word!r} is not KEY=VALUE of letters, digits, '.', '_', '-' (a key: '/' too)"
        )
    return key, value
