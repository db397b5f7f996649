"""Which checkpoints a policy keeps and which it removes: pure planning, nothing is touched."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why a checkpoint is kept, or removed; the first that holds is told."""

    PINNED = "pinned"
    PROTECTED = "protected"  # an unfinished workflow names it
    NEWEST = "newest"  # of its workload, which no policy takes away
    UNREADABLE = "unreadable"  # it, or another of its workload: what that one needs is not known
    LAST = "keep-last"
    WITHIN = "keep-within"
    UNLIMITED = "unlimited"  # no limit concerns its workload
    PARENT = "parent"  # one that is kept cannot be read without it
    EXPIRED = "expired"  # removed: neither keep-last nor keep-within holds it
    OVER_SIZE = "over-size"  # removed: max_total_bytes was exceeded
    ORPHAN = "orphan"  # removed: belongs to nothing that exists


# What max_total_bytes may take, and what goes with it.
_SOFT = {Reason.LAST, Reason.WITHIN, Reason.UNLIMITED}
_FOLLOWS = {Reason.OVER_SIZE, Reason.PARENT}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A checkpoint as planning sees it; `size` is what is stored of it, in bytes."""

    id: str
    workload: str
    created: datetime
    size: int
    parent: str | None = None
    pinned: bool = False
    readable: bool = True


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What is kept of one workload: what either limit holds, and all when there is none.

    `last` counts its newest checkpoints, `within` is their greatest age.
    """

    last: int | None = None
    within: timedelta | None = None

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise ValueError("keep-last must be at least 1: the newest checkpoint always stays")


@dataclass(frozen=True, kw_only=True)
class RetentionPolicy:
    """What to keep of every workload, other rules for some by name, and a limit for all bytes."""

    keep: Keep = Keep()
    workloads: Mapping[str, Keep] = field(default_factory=dict)
    max_total_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a plan says of one checkpoint."""

    checkpoint: Candidate
    keep: bool
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`remove` is in an order in which nothing is ever left without its parent.

    `over_bytes` is by how much `max_total_bytes` is exceeded though all went that may go; else 0.
    """

    keep: tuple[Verdict, ...]
    remove: tuple[Verdict, ...]
    over_bytes: int = 0


def plan(
    checkpoints: Iterable[Candidate],
    policy: RetentionPolicy,
    *,
    now: datetime,
    protected: Collection[str] = frozenset(),
) -> Plan:
    """Decide about every checkpoint; the same input gives the same plan, whatever its order.

    Pinned and protected checkpoints, the newest of each workload and all that these need are kept
    whatever the policy says. `max_total_bytes` goes before the other limits: it removes the oldest
    that nothing kept needs, again and again, until the rest fits.
    """
    known = {c.id: c for c in sorted(checkpoints, key=_age)}
    kept = _by_rules(known, policy, now, protected)
    gone = dict.fromkeys(known.keys() - kept.keys(), Reason.EXPIRED)
    parents = {c.id: c.parent for c in known.values()}
    for parent in _ancestors(parents, kept):
        if gone.pop(parent, None):
            kept[parent] = Reason.PARENT
    over = _fit(known, kept, gone, policy.max_total_bytes)
    return Plan(
        keep=tuple(
            Verdict(checkpoint=c, keep=True, reason=kept[c.id])
            for c in reversed(tuple(known.values()))
            if c.id in kept
        ),
        remove=tuple(
            Verdict(checkpoint=known[i], keep=False, reason=gone[i])
            for i in children_first(parents)
            if i in gone
        ),
        over_bytes=over,
    )


def _by_rules(
    known: Mapping[str, Candidate],
    policy: RetentionPolicy,
    now: datetime,
    protected: Collection[str],
) -> dict[str, Reason]:
    workloads = defaultdict(list)
    for candidate in reversed(tuple(known.values())):
        workloads[candidate.workload].append(candidate)
    kept = {}
    for workload, newest_first in workloads.items():
        rules = policy.workloads.get(workload, policy.keep)
        readable = all(c.readable for c in newest_first)
        for rank, candidate in enumerate(newest_first):
            if candidate.pinned:
                kept[candidate.id] = Reason.PINNED
            elif candidate.id in protected:
                kept[candidate.id] = Reason.PROTECTED
            elif rank == 0:
                kept[candidate.id] = Reason.NEWEST
            elif not readable:
                kept[candidate.id] = Reason.UNREADABLE
            elif reason := _held_by(rules, rank, now - candidate.created):
                kept[candidate.id] = reason
    return kept


def _held_by(rules: Keep, rank: int, age: timedelta) -> Reason | None:
    if rules.last is not None and rank < rules.last:
        return Reason.LAST
    if rules.within is not None and age <= rules.within:
        return Reason.WITHIN
    return Reason.UNLIMITED if rules == Keep() else None


def _fit(
    known: Mapping[str, Candidate],
    kept: dict[str, Reason],
    gone: dict[str, Reason],
    limit: int | None,
) -> int:
    """Move what does not fit from `kept` to `gone`; return the bytes that are still too many."""
    if limit is None:
        return 0
    total = sum(known[i].size for i in kept)
    children = Counter(known[i].parent for i in kept)
    while total > limit:
        leaf = next((i for i in known if kept.get(i) in _SOFT and not children[i]), None)
        if leaf is None:
            return total - limit
        kept[leaf] = Reason.OVER_SIZE
        # with it go the parents that were kept for it alone
        while leaf is not None and not children[leaf] and kept.get(leaf) in _FOLLOWS:
            reason = kept.pop(leaf)
            gone[leaf] = Reason.EXPIRED if reason is Reason.PARENT else reason
            total -= known[leaf].size
            leaf = known[leaf].parent
            children[leaf] -= 1
    return 0


def children_first(parents: Mapping[str, str | None]) -> list[str]:
    """The ids, each before its parent.

    Times would not do: a child's host may have a clock that is behind its parent's.
    """
    return sorted(parents, key=lambda i: len(_ancestors(parents, [i])), reverse=True)


def _ancestors(parents: Mapping[str, str | None], children: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for child in children:
        parent = parents[child]
        while parent is not None and parent in parents and parent not in found:
            found.add(parent)
            parent = parents[parent]
    return found


def _age(candidate: Candidate) -> tuple[datetime, str]:
    return candidate.created, candidate.id
