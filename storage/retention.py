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
    GROUP = "group"  # a group's checkpoint that is kept has it
    PARENT = "parent"  # one that is kept cannot be read without it
    EXPIRED = "expired"  # removed: neither keep-last nor keep-within holds it
    OVER_SIZE = "over-size"  # removed: max_total_bytes was exceeded
    ORPHAN = "orphan"  # removed: belongs to nothing that exists


# What max_total_bytes may take, and what goes with it.
_SOFT = {Reason.LAST, Reason.WITHIN, Reason.UNLIMITED}
_FOLLOWS = {Reason.OVER_SIZE, Reason.GROUP, Reason.PARENT}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A checkpoint, or a `group`'s, as planning sees it.

    `size` is what is stored of it, in bytes; `needs` are the keys of others that it is nothing
    without: a checkpoint's parent, a group's members.
    """

    id: str
    workload: str
    created: datetime
    size: int
    needs: tuple[str, ...] = ()
    group: bool = False
    pinned: bool = False
    readable: bool = True

    @property
    def key(self) -> str:
        """What tells it from all others: a group may have the id of a member."""
        return f"groups/{self.id}" if self.group else self.id


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
    """`remove` is in an order in which nothing is ever left without what it needs.

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
    known = {c.key: c for c in sorted(checkpoints, key=_age)}
    kept = _by_rules(known, policy, now, protected)
    gone = dict.fromkeys(known.keys() - kept.keys(), Reason.EXPIRED)
    needs = {key: c.needs for key, c in known.items()}
    of_groups = {key for i in kept if known[i].group for key in needs[i]}
    for needed in _needed(needs, kept):
        if gone.pop(needed, None):
            kept[needed] = Reason.GROUP if needed in of_groups else Reason.PARENT
    over = _fit(known, kept, gone, policy.max_total_bytes)
    return Plan(
        keep=tuple(
            Verdict(checkpoint=c, keep=True, reason=kept[key])
            for key, c in reversed(known.items())
            if key in kept
        ),
        remove=tuple(
            Verdict(checkpoint=known[i], keep=False, reason=gone[i])
            for i in children_first(needs)
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
        workloads[candidate.group, candidate.workload].append(candidate)
    kept = {}
    for (group, workload), newest_first in workloads.items():
        rules = policy.keep if group else policy.workloads.get(workload, policy.keep)
        readable = all(c.readable for c in newest_first)
        for rank, candidate in enumerate(newest_first):
            if candidate.pinned:
                kept[candidate.key] = Reason.PINNED
            elif candidate.id in protected:
                kept[candidate.key] = Reason.PROTECTED
            elif rank == 0:
                kept[candidate.key] = Reason.NEWEST
            elif not readable:
                kept[candidate.key] = Reason.UNREADABLE
            elif reason := _held_by(rules, rank, now - candidate.created):
                kept[candidate.key] = reason
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
    users = Counter(needed for i in kept for needed in known[i].needs)
    while total > limit:
        leaf = next((i for i in known if kept.get(i) in _SOFT and not users[i]), None)
        if leaf is None:
            return total - limit
        kept[leaf] = Reason.OVER_SIZE
        going = [leaf]
        while going:  # with it go those that were kept for it alone
            key = going.pop()
            if users[key] or kept.get(key) not in _FOLLOWS:
                continue
            reason = kept.pop(key)
            gone[key] = reason if reason is Reason.OVER_SIZE else Reason.EXPIRED
            total -= known[key].size
            users.subtract(known[key].needs)
            going.extend(known[key].needs)
    return 0


def children_first(needs: Mapping[str, Collection[str]]) -> list[str]:
    """The ids, each before what it needs.

    Times would not do: a child's host may have a clock that is behind its parent's.
    """
    return sorted(needs, key=lambda i: len(_needed(needs, [i])), reverse=True)


def _needed(needs: Mapping[str, Collection[str]], users: Iterable[str]) -> set[str]:
    """Everything known that these need, and what that needs."""
    found: set[str] = set()
    looking = list(users)
    while looking:
        for key in needs[looking.pop()]:
            if key in needs and key not in found:
                found.add(key)
                looking.append(key)
    return found


def _age(candidate: Candidate) -> tuple[datetime, str]:
    return candidate.created, candidate.key
