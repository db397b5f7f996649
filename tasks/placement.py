"""Where a workload goes that nobody named a host for: pure functions, which explain themselves."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from runtime import Canary, HostFacts, blockers, machine_findings
from tasks.groups import LIVE
from tasks.hosts import Cordon, HostState, HostStatus, state_of
from tasks.models import Inventory, Model, Need

Score = tuple[float, ...]
SPREAD_LABEL = "podferry.spread"  # the name of a group whose containers are kept apart
Standing = tuple[int, float, int, str]  # among hosts, of which one sorts first: see Ranking
NAMED = 20  # hosts, of those that do not fit


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A host as placement sees it, at one moment. Sizes are bytes; None: not known.

    ``moves`` are the workflows under way to it; what they will take up is ``reserved_…``.
    """

    host: str
    state: HostState
    error: str = ""  # why its engine does not answer
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: HostFacts | None = None
    canary: Canary = field(default_factory=Canary)
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    disk_free_bytes: int | None = None
    names: frozenset[str] = frozenset()  # of the containers there and those on their way
    running: int = 0
    spread: Mapping[str, int] = field(default_factory=dict)  # containers there by spread group
    moves: int = 0
    reserved_memory_bytes: int = 0
    reserved_disk_bytes: int = 0

    def with_reserved(self, need: Need) -> Candidate:
        """The host once a workload is on its way to it."""
        return replace(
            self,
            moves=self.moves + 1,
            names=self.names | set(need.names),
            running=self.running + len(need.names),
            spread=Counter(self.spread) + Counter(need.spread),
            reserved_memory_bytes=self.reserved_memory_bytes + need.memory_bytes,
            reserved_disk_bytes=self.reserved_disk_bytes + need.disk_bytes,
        )

    def with_all_reserved(self, needs: Iterable[Need]) -> Candidate:
        """The host once all of these are on their way to it."""
        return reduce(Candidate.with_reserved, needs, self)

    def with_cordon(self, cordon: Cordon | None) -> Candidate:
        """The host once it is cordoned, or not any more."""
        state = state_of(self.state is not HostState.OFFLINE, cordon)
        return self if state is self.state else replace(self, state=state)

    @property
    def known_facts(self) -> HostFacts | None:
        """Its facts with its name and its canary, which the engine cannot tell."""
        named = {"host": self.host, "canary": self.canary}
        return self.facts.model_copy(update=named) if self.facts else None

    @property
    def memory_left_bytes(self) -> int | None:
        """Free memory that nothing on its way will take; None: not known."""
        return _left(self.memory_free_bytes, self.reserved_memory_bytes)

    @property
    def disk_left_bytes(self) -> int | None:
        """Free disk that nothing on its way will take; None: not known."""
        return _left(self.disk_free_bytes, self.reserved_disk_bytes)

    @property
    def memory_share(self) -> float:
        """The part of its memory that is left, 0 to 1; 0 where that is not known."""
        if not self.memory_total_bytes or self.memory_left_bytes is None:
            return 0.0
        return max(0.0, self.memory_left_bytes / self.memory_total_bytes)


def candidate(status: HostStatus, inventory: Inventory | None) -> Candidate:
    """A host as placement sees it, with nothing on its way there."""
    lines = inventory.containers if inventory else ()
    running = [line for line in lines if line.state in LIVE]
    groups = (line.labels.get(SPREAD_LABEL, "") for line in running)
    return Candidate(
        host=status.host,
        state=status.state,
        error=status.error,
        labels=status.labels,
        facts=status.facts,
        canary=status.canary,
        memory_total_bytes=status.facts.memory_total_bytes or None if status.facts else None,
        memory_free_bytes=status.memory_free_bytes,
        disk_free_bytes=status.disk_free_bytes,
        names=frozenset(line.name for line in lines),
        running=len(running),
        spread=Counter(group for group in groups if group),
    )


class Verdict(Model):
    """Whether a host is fit, and what speaks for or against it. A lower ``score`` is better."""

    host: str
    fits: bool
    reason: str
    score: Score = ()


class Placement(Model):
    """A verdict per host: the fit ones first, the best of them before all, then the rest."""

    verdicts: tuple[Verdict, ...]

    @property
    def fitting(self) -> tuple[str, ...]:
        """The hosts that are fit, the best first."""
        return tuple(verdict.host for verdict in self.verdicts if verdict.fits)

    @property
    def host(self) -> str | None:
        """The best host; None: no host fits."""
        return next(iter(self.fitting), None)

    @property
    def why_not(self) -> str:
        """Why no host fits, in one line that names some of them; empty when one does."""
        if self.fitting:
            return ""
        each = [f"{verdict.host}: {verdict.reason}" for verdict in self.verdicts]
        more = [f"and {len(each) - NAMED} more"] if len(each) > NAMED else []
        return f"no host fits: {'; '.join([*each[:NAMED], *more]) or 'none is known'}"


def place(need: Need, candidates: Sequence[Candidate]) -> Placement:
    """Judge every host for a workload. The order of ``candidates`` does not matter.

    The source's own facts are looked for among them. Of hosts that are fit, the best has the fewest
    containers of the workload's spread groups, then the fewest moves under way to it, then the
    largest part of its memory left, then the fewest running containers, then the first name.
    """
    source = _source(need, candidates)
    verdicts = (_judge(need, source, candidate) for candidate in candidates)
    return Placement(verdicts=tuple(sorted(verdicts, key=_rank)))


class Ranking:
    """Hosts in the order of their choice, as workloads are given to them one after the other.

    It chooses as ``place`` does, without a verdict on every host for each workload.
    """

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._candidates = {candidate.host: candidate for candidate in candidates}
        self._order = sorted(map(_standing, self._candidates.values()))

    def take(self, need: Need) -> str | None:
        """The best host for a workload, which from now on is on its way there; None: none fits."""
        source = _source(need, self._candidates.values())
        for standing in self._in_order(need):
            candidate = self._candidates[standing[-1]]
            if not any(_objections(need, source, candidate)):
                taken = candidate.with_reserved(need)
                self._candidates[taken.host] = taken
                del self._order[bisect_left(self._order, standing)]
                insort(self._order, _standing(taken))
                return taken.host
        return None

    def why_not(self, need: Need) -> str:
        """Why no host fits, as ``Placement`` says it."""
        return place(need, list(self._candidates.values())).why_not

    def _in_order(self, need: Need) -> list[Standing]:
        if not need.spread:
            return self._order
        return sorted(self._order, key=lambda p: _apart(need, self._candidates[p[-1]]))


def _standing(candidate: Candidate) -> Standing:
    share = candidate.memory_share
    return (candidate.moves, -share, candidate.running, candidate.host)


def _rank(verdict: Verdict) -> tuple[bool, Score, str]:
    return (not verdict.fits, verdict.score, verdict.host)


def _judge(need: Need, source: HostFacts | None, candidate: Candidate) -> Verdict:
    against = list(_objections(need, source, candidate))
    if against:
        return Verdict(host=candidate.host, fits=False, reason=", ".join(against))
    return Verdict(
        host=candidate.host,
        fits=True,
        reason=", ".join(_for(need, candidate)),
        score=_score(need, candidate),
    )


def _source(need: Need, candidates: Iterable[Candidate]) -> HostFacts | None:
    return next((c.known_facts for c in candidates if c.host == need.source), None)


def _score(need: Need, candidate: Candidate) -> Score:
    moves, share, running, _ = _standing(candidate)
    return (_apart(need, candidate), moves, share, running)


def _apart(need: Need, candidate: Candidate) -> int:
    """The containers there of the workload's spread groups."""
    return sum(candidate.spread.get(group, 0) for group in need.spread)


def _objections(need: Need, source: HostFacts | None, candidate: Candidate) -> Iterator[str]:
    gone = list(_gone(need, candidate))
    yield from gone or _against(need, source, candidate)


def _gone(need: Need, candidate: Candidate) -> Iterator[str]:
    """What makes any other word about it needless."""
    if candidate.state is HostState.OFFLINE:
        yield candidate.state
    elif candidate.host == need.source:
        yield "it is there now"
    elif candidate.state is not HostState.ACTIVE:
        yield candidate.state
    elif candidate.error:
        yield f"its engine does not answer: {candidate.error}"
    elif candidate.host in need.avoid:
        yield "it is to be avoided"


def _against(need: Need, source: HostFacts | None, candidate: Candidate) -> Iterator[str]:
    for key, value in sorted(need.labels.items()):
        if candidate.labels.get(key) != value:
            yield f"lacks the label {key}={value}"
    for name in sorted(candidate.names.intersection(need.names)):
        yield f"has a container {name!r} already"
    yield from _machine(source, candidate)
    yield from _short("memory", need.memory_bytes, candidate.memory_left_bytes)
    yield from _short("disk", need.disk_bytes, candidate.disk_left_bytes)


def _machine(source: HostFacts | None, candidate: Candidate) -> Iterator[str]:
    """What ``preflight`` would refuse of the machine, whatever the container."""
    facts = candidate.known_facts
    if facts is not None:
        for finding in blockers(machine_findings(source, facts)):
            yield finding.message


def _short(what: str, needed: int, left: int | None) -> Iterator[str]:
    if left is not None and needed > max(0, left):
        yield f"needs {_size(needed)} of {what}, {_size(max(0, left))} is free"


def _for(need: Need, candidate: Candidate) -> Iterator[str]:
    if need.spread:
        yield f"{_apart(need, candidate)} of {'+'.join(need.spread)}"
    yield f"{candidate.moves} moves under way to it"
    if candidate.memory_total_bytes:
        yield f"{candidate.memory_share:.0%} of its memory left"
    yield f"{candidate.running} containers run there"


def _left(free: int | None, taken: int) -> int | None:
    return None if free is None else free - taken


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
