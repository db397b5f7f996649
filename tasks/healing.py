"""Bring what ran on a dead host up elsewhere, from the newest checkpoints.

The old copies are told to stay stopped before any new one may begin: a host that comes back finds
that in ``tasks.evictions``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from runtime import RunSpec
from storage import (
    ArchiveStore,
    CheckpointManifest,
    CheckpointNotFoundError,
    GroupManifest,
    workload_of,
)
from tasks.errors import InvalidRequestError, WorkflowNotFoundError, WorkloadBusyError
from tasks.evictions import Eviction, Meaning
from tasks.locate import Locator
from tasks.lost import Lost, Others, lost_workloads, stopped_on
from tasks.memory import holds_memory
from tasks.models import (
    GroupKind,
    HostName,
    Inventory,
    Kind,
    Model,
    Need,
    Options,
    Outcome,
    Parts,
    Workflow,
    new_workflow,
)
from tasks.placement import Candidate, Ranking
from tasks.placing import Placer, need_of

if TYPE_CHECKING:
    from tasks.records import Records
    from tasks.registry import Registry

RECENT = 10_000  # workflows that are looked through
GOOD = frozenset({Outcome.RESTORED, Outcome.COLD})


class HealState(StrEnum):
    """How far the healing of one workload has come."""

    PLANNED = "planned"  # it can be healed
    BEGUN = "begun"  # its workflow was submitted
    ENDED = "ended"  # its workflow has: see the outcome
    SAFE = "safe"  # it runs elsewhere already
    SKIPPED = "skipped"  # it was not healed: see the reason


class Healing(Model):
    """What becomes of one workload of a dead host."""

    workload: str
    group: GroupKind | None = None
    containers: tuple[str, ...] = ()  # that are brought up
    old: Parts = Parts()  # what is left of it on the dead host, should that come back
    checkpoint_id: str = ""
    taken: AwareDatetime | None = None  # when that checkpoint was taken
    cold: bool = False  # that checkpoint has no memory
    need: Need = Field(default=Need(), exclude=True)  # what it asks of its new host
    new_address: bool = False  # it asked for no address: any will do
    target: HostName | None = None
    state: HealState = HealState.PLANNED
    workflow_id: str = ""
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def healed(self) -> bool:
        """Whether it runs elsewhere, if only cold."""
        return self.state is HealState.SAFE or self.outcome in GOOD

    def ended(self, workflow: Workflow) -> Healing:
        """What its workflow has come to."""
        return self.model_copy(
            update={
                "state": HealState.ENDED,
                "outcome": workflow.outcome,
                "target": workflow.target,
                "reason": workflow.reason,
            }
        )

    def refused(self, reason: str, state: HealState = HealState.SKIPPED) -> Healing:
        """Why there is nothing to do for it."""
        return self.model_copy(update={"state": state, "reason": reason, "target": None})


class Healer:
    """Plans and begins the healing of hosts. ``plan`` changes nothing."""

    def __init__(self, records: Records, registry: Registry, archives: ArchiveStore) -> None:
        self._records = records
        self._registry = registry
        self._archives = archives

    def plan(self, host: str, *, again: bool = True) -> tuple[Healing, ...]:
        """What would be done for each workload that ran on a host, by name.

        ``again`` includes those whose last heal failed. Raises UnknownHostError, HostAliveError,
        InvalidRequestError when it is not known what ran there, StorageError.
        """
        self._registry.require_silent(host)
        ran = self._registry.ran(host)
        if ran is None:
            raise InvalidRequestError(f"it is not known what ran on {host!r}: no inventory of it")
        others = self._others(host)
        stopped = stopped_on(host, self._records.recent(RECENT))
        earlier = self._records.evictions.of(host)
        found = []
        for lost in lost_workloads(ran, stopped):
            for item in self._candidates(lost, ran):
                reason = self._unfit(item, others, stopped, earlier, again=again)
                found.append(item.refused(reason) if reason else _safe(item, others))
        return placed(found, Placer(self._records, self._registry).candidates())

    def begin(
        self,
        host: str,
        plan: Iterable[Healing],
        *,
        deadline_seconds: float,
        fresh: bool = False,
    ) -> tuple[Healing, ...]:
        """Submit a workflow for each that can be healed, once all old copies are told to stop.

        What is started cold is so with its image's files as they changed, unless ``fresh``. The
        host must be off. Raises HostAliveError.
        """
        self._registry.require_silent(host)
        begun = [_Begun(host, item, deadline_seconds, fresh=fresh) for item in plan]
        for one in begun:
            if one.eviction is not None:
                self._records.evictions.put(host, one.eviction)
        return tuple(self._submit(host, one) for one in begun)

    def _submit(self, host: str, one: _Begun) -> Healing:
        if one.workflow is None or one.eviction is None:
            return one.item
        try:
            self._records.create(one.workflow)
        except WorkloadBusyError as error:
            self._records.evictions.change(host, one.eviction, None)
            return one.item.refused(f"{error}; when that has ended, heal again")
        began = {"state": HealState.BEGUN, "workflow_id": one.workflow.id}
        return one.item.model_copy(update=began)

    def _others(self, host: str) -> Others:
        """A host whose engine is away is as good as silent."""
        answering = [i for i in Locator(self._registry).fresh() if i.host != host and not i.error]
        heard = {host, *(inventory.host for inventory in answering)}
        ran = (self._registry.ran(name) for name in sorted(self._registry.inventories()))
        silent = tuple(i for i in ran if i is not None and i.host not in heard)
        return Others(answering=tuple(answering), silent=silent)

    def _candidates(self, lost: Lost, ran: Inventory) -> Iterator[Healing]:
        """A group's checkpoint brings all of it up; who is not in it, or has none, goes alone."""
        names = [line.name for line in lost.lines]
        group = self._newest_group(lost) if lost.group is not None else None
        if group is not None or lost.group is GroupKind.POD:
            members = sorted(map(workload_of, group.members)) if group else names
            cold = group is not None and not holds_memory(self._archives, group)
            yield _candidate(ran, lost.name, members, group, kind=lost.group, cold=cold)
            names = [name for name in names if name not in members]
        for name in names:
            newest = self._newest(name)
            cold = newest is not None and not newest.memory
            yield _candidate(ran, name, [name], newest, cold=cold)

    def _newest_group(self, lost: Lost) -> GroupManifest | None:
        try:
            found = self._archives.latest_group(lost.name)
        except CheckpointNotFoundError:
            return None
        return found if found.kind == lost.group else None

    def _newest(self, name: str) -> CheckpointManifest | None:
        try:
            return self._archives.latest(name)
        except CheckpointNotFoundError:
            return None

    def _unfit(
        self,
        item: Healing,
        others: Others,
        stopped: Sequence[Workflow],
        earlier: Sequence[Eviction],
        *,
        again: bool,
    ) -> str:
        """The first reason against bringing it up; empty when there is none, or it runs."""
        if others.runs_on(item.containers):
            return ""
        names = set(item.containers)
        silent = {inventory.host for inventory in others.silent}
        healed = [e for e in earlier if not names.isdisjoint(e.parts.containers)]
        before = [w for e in healed if (w := self._record(e)) is not None]
        for workflow in before:
            if not again or workflow.outcome in GOOD:
                return f"it was healed before, see: podferry status {workflow.id}"
        about = [w for w in (*stopped, *before) if not names.isdisjoint(w.containers)]
        permits = [w.permit for w in about if w.permit in silent]
        may_run = others.ran_on(names) or next(iter(permits), None)
        if may_run:
            return f"a copy of it may run on {may_run}, which does not answer either"
        busy = self._records.holders(item.containers)
        if busy:
            return f"workflow {min(busy.values())} is about it; when that has ended, heal again"
        return "" if item.checkpoint_id else "it has no checkpoint in the store"

    def _record(self, eviction: Eviction) -> Workflow | None:
        """The heal that an eviction is of; None when it is of something else, or never began."""
        if eviction.meaning is not Meaning.STOP:
            return None
        try:
            return self._records.get(eviction.workflow)
        except WorkflowNotFoundError:
            return None


class _Begun:
    """A workload with the records of its healing, if it can be healed."""

    def __init__(self, host: str, item: Healing, deadline_seconds: float, *, fresh: bool) -> None:
        self.item = item
        self.workflow: Workflow | None = None
        self.eviction: Eviction | None = None
        if item.state is HealState.PLANNED:
            self.workflow = _workflow(host, item, deadline_seconds, fresh=fresh)
            self.eviction = Eviction(
                meaning=Meaning.STOP,
                workload=item.workload,
                workflow=self.workflow.id,
                parts=item.old,
            )


def placed(plan: Iterable[Healing], candidates: Sequence[Candidate]) -> tuple[Healing, ...]:
    """Give those of a dead host that can be healed another one each, as placement chooses."""
    ranking = Ranking(candidates)
    found = []
    for item in plan:
        if item.state is HealState.PLANNED:
            host = ranking.take(item.need)
            if host is None:
                item = item.refused(ranking.why_not(item.need))
            else:
                item = item.model_copy(update={"target": host})
        found.append(item)
    return tuple(found)


def _safe(item: Healing, others: Others) -> Healing:
    runs = others.runs_on(item.containers)
    return item.refused(f"it runs on {runs}", HealState.SAFE) if runs else item


def _candidate(
    ran: Inventory,
    workload: str,
    names: Collection[str],
    found: CheckpointManifest | GroupManifest | None,
    kind: GroupKind | None = None,
    *,
    cold: bool = False,
) -> Healing:
    old = [line for line in ran.containers if line.name in names]
    item = Healing(
        workload=workload,
        group=kind,
        containers=tuple(names),
        old=Parts(containers=tuple(c.name for c in old), ids=tuple(c.id for c in old)),
        checkpoint_id=found.id if found else "",
        taken=found.created if found else None,
        cold=cold,
        new_address=isinstance(found, CheckpointManifest) and _any_address(found),
    )
    try:
        need = need_of(old, source=ran.host)
    except InvalidRequestError as error:  # a label that cannot be read
        return item.refused(str(error))
    return item.model_copy(update={"need": need.model_copy(update={"names": item.containers})})


def _any_address(manifest: CheckpointManifest) -> bool:
    """Whether nobody asked for its addresses, which another has on the new host, as often as not.

    Those of a group's containers are kept: the connections between them are of that moment.
    """
    return RunSpec.model_validate(manifest.spec).any_address


def _workflow(host: str, item: Healing, deadline_seconds: float, *, fresh: bool) -> Workflow:
    return new_workflow(
        Kind.RESTORE,
        item.workload,
        group=item.group,
        members=item.containers,
        source=host,
        target=item.target,
        options=Options(heal=True, cold=item.cold, fresh=fresh, ignore_static_ip=item.new_address),
        need=item.need,
        deadline_seconds=deadline_seconds,
        checkpoint_id=item.checkpoint_id,
    )
