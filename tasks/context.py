"""What a unit of work has at hand on the host it runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from runtime import CheckpointRuntime
from storage import ORPHAN_GRACE, ArchiveStore, RetentionPolicy
from tasks.drains.records import Drains
from tasks.models import LADDER, Fallback
from tasks.records import Records
from tasks.registry import Registry
from tasks.signing import Ledger, Signer, Verifier


@dataclass(frozen=True, kw_only=True)
class Context:
    """One worker's parts. Each connects at its first use, so a fork may lie in between."""

    records: Records
    archives: ArchiveStore
    runtime: CheckpointRuntime | None = None  # None: a control worker, which touches no engine
    drains: Drains | None = None  # None: a host worker, which drives none
    registry: Registry | None = None  # None: nobody keeps what canaries told
    locks: Path | None = None  # where this host's workers keep theirs; None: they need none
    signer: Signer | None = None  # None: a host worker, or nobody signs here
    verifier: Verifier | None = None  # None: nobody signs here
    ledger: Ledger | None = None  # of the steps begun on this host; None: nobody signs here
    lease_seconds: float = 30.0
    full_every: int = 8  # of the checkpoints of a chain, so many at most
    fallback: tuple[Fallback, ...] = LADDER  # where neither request nor label says otherwise
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)  # of the periodic task
    orphan_grace: timedelta = ORPHAN_GRACE
