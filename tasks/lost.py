"""What ran on a dead host, and what others know of it, from inventories and records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from tasks.groups import LIVE, group_of
from tasks.models import (
    GroupKind,
    Inventory,
    Kind,
    Outcome,
    State,
    Workflow,
    WorkloadLine,
)

OF_NO_CONTAINER = frozenset({Kind.PREFLIGHT, Kind.BUILD})


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A workload that ran on a dead host, or that a workflow has stopped there: its containers."""

    name: str
    group: GroupKind | None
    lines: tuple[WorkloadLine, ...]


@dataclass(frozen=True, kw_only=True)
class Others:
    """What all other hosts hold: ``answering`` ones now, ``silent`` ones when last heard of."""

    answering: tuple[Inventory, ...]
    silent: tuple[Inventory, ...]

    def runs_on(self, containers: Collection[str]) -> str:
        """The first host that answers where one of these runs; empty when there is none."""
        return _running(self.answering, containers)

    def ran_on(self, containers: Collection[str]) -> str:
        """The first silent host where one of these may run."""
        return _running(self.silent, containers)


def lost_workloads(ran: Inventory, stopped: Iterable[Workflow]) -> list[Lost]:
    """What ran on a host, and what workflows have stopped there; pods and projects as one."""
    names = {name for workflow in stopped for name in workflow.containers}
    found: dict[tuple[GroupKind | None, str], list[WorkloadLine]] = {}
    for line in sorted(ran.containers, key=lambda line: line.name):
        if line.state in LIVE or line.name in names:
            found.setdefault(group_of(line), []).append(line)
    lost = [Lost(name=k[1], group=k[0], lines=tuple(lines)) for k, lines in found.items()]
    return sorted(lost, key=lambda one: one.name)


def stopped_on(host: str, recent: Iterable[Workflow]) -> list[Workflow]:
    """The workflows, of the newest ones first, that have stopped a workload there for good.

    Those that failed with its memory kept there, and those under way.
    """
    seen: set[str] = set()
    found = []
    for workflow in _deciding(recent):
        if seen.isdisjoint(workflow.containers) and _holds(workflow, host):
            found.append(workflow)
        seen.update(workflow.containers)
    return found


def _deciding(recent: Iterable[Workflow]) -> Iterator[Workflow]:
    """Those that changed where a workload is, or whether it runs."""
    for workflow in recent:
        plain = workflow.kind is Kind.CHECKPOINT and workflow.outcome is not Outcome.FAILED
        checkpoint = plain and workflow.state is State.ENDED
        in_vain = workflow.options.heal and workflow.outcome in {Outcome.FAILED, Outcome.CANCELLED}
        if workflow.kind not in OF_NO_CONTAINER and not checkpoint and not in_vain:
            yield workflow


def _holds(workflow: Workflow, host: str) -> bool:
    over = workflow.state is State.ENDED and workflow.outcome is not Outcome.FAILED
    return workflow.source == host and workflow.source_stopped and not over


def _running(inventories: Iterable[Inventory], containers: Collection[str]) -> str:
    places = (
        inventory.host
        for inventory in inventories
        for line in inventory.containers
        if line.name in containers and line.state in LIVE
    )
    return next(places, "")
