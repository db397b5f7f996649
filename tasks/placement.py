"""Where a workload goes that nobody named a host for: pure functions, which explain themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from runtime import Canary, HostFacts, blockers, machine_findings
from tasks.hosts import HostState
from tasks.models import Model, Need

Score = tuple[float, ...]


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
        """Why no host fits, in one line; empty when one does."""
        if self.fitting:
            return ""
        each = "; ".join(f"{verdict.host}: {verdict.reason}" for verdict in self.verdicts)
        return f"no host fits: {each or 'none is known'}"


def place(need: Need, candidates: Sequence[Candidate]) -> Placement:
    """Judge every host for a workload. The order of ``candidates`` does not matter.

    The source's own facts are looked for among them. Of hosts that are fit, the best has the fewest
    containers of the workload's spread groups, then the fewest moves under way to it, then the
    largest part of its memory left, then the fewest running containers, then the first name.
    """
    source = next((c.known_facts for c in candidates if c.host == need.source), None)
    verdicts = (_judge(need, source, candidate) for candidate in candidates)
    return Placement(verdicts=tuple(sorted(verdicts, key=_rank)))


def reserved(candidates: Iterable[Candidate], host: str, need: Need) -> list[Candidate]:
    """The candidates once a workload is on its way to one of them."""
    return [c.with_reserved(need) if c.host == host else c for c in candidates]


def _rank(verdict: Verdict) -> tuple[bool, Score, str]:
    return (not verdict.fits, verdict.score, verdict.host)


def _judge(need: Need, source: HostFacts | None, candidate: Candidate) -> Verdict:
    against = list(_gone(need, candidate)) or list(_against(need, source, candidate))
    if against:
        return Verdict(host=candidate.host, fits=False, reason=", ".join(against))
    apart = sum(candidate.spread.get(group, 0) for group in need.spread)
    share = candidate.memory_share
    return Verdict(
        host=candidate.host,
        fits=True,
        reason=", ".join(_for(need, candidate, apart)),
        score=(apart, candidate.moves, -share, candidate.running),
    )


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


def _for(need: Need, candidate: Candidate, apart: int) -> Iterator[str]:
    if need.spread:
        yield f"{apart} of {'+'.join(need.spread)}"
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
