"""What placement works with, read from Redis: hosts, and what is on its way to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tasks.hosts import parse_labels
from tasks.models import Kind, Need, Workflow, WorkloadLine
from tasks.placement import SPREAD_LABEL, Candidate, Placement, place

if TYPE_CHECKING:
    from tasks.records import Records
    from tasks.registry import Registry

AFFINITY_LABEL = "podferry.affinity"  # host labels that are required: "zone=a,disk=ssd"
MOVES = frozenset({Kind.MIGRATE, Kind.RESTORE, Kind.UP})
ARCHIVE_COPIES = 2  # the engine keeps the archive that came in beside what it unpacks from it


class Placer:
    """Reads what placement is to choose from."""

    def __init__(self, records: Records, registry: Registry) -> None:
        self._records = records
        self._registry = registry

    def candidates(self, *, besides: str = "") -> list[Candidate]:
        """Every host ever seen, with what live workflows have reserved there.

        A handful of answers of Redis, whatever the number of hosts: read once for a whole plan,
        and carried on by a ``Ranking``. The workflow ``besides`` reserves nothing.
        """
        coming: dict[str, list[Need]] = {}
        for workflow in self._records.live():
            if workflow.target and workflow.kind in MOVES and workflow.id != besides:
                need = workflow.need or Need(names=workflow.containers)
                coming.setdefault(workflow.target, []).append(need)
        found = self._registry.candidates()
        return [c.with_all_reserved(coming.get(c.host, ())) for c in found]

    def place(self, workflow: Workflow) -> tuple[Need, Placement]:
        """What a workflow's workload needs, and the verdict on every host.

        Raises InvalidRequestError for a label that cannot be read.
        """
        need = workflow.need or self.need(
            workflow.source or "", workflow.containers, workflow.options.selector
        )
        return need, place(need, self.candidates(besides=workflow.id))

    def need(self, host: str, containers: Iterable[str], selector: Mapping[str, str]) -> Need:
        """What containers on a host ask of another, as its inventory shows them."""
        inventory = self._registry.inventory(host)
        names = tuple(containers)
        lines = [line for line in inventory.containers if line.name in names] if inventory else []
        found = need_of(lines, source=host, selector=selector)
        return found.model_copy(update={"names": names})


def need_of(
    lines: Iterable[WorkloadLine],
    *,
    source: str,
    selector: Mapping[str, str] | None = None,
    avoid: Iterable[str] = (),
) -> Need:
    """What a workload's containers on their source ask of another host.

    ``selector`` is what the request asks for; it comes before the containers' own labels. Raises
    InvalidRequestError for a label that cannot be read.
    """
    lines = tuple(lines)
    affinity: dict[str, str] = {}
    for line in lines:
        affinity |= parse_labels(line.labels.get(AFFINITY_LABEL, ""))
    memory_bytes = sum(line.memory_bytes for line in lines)
    groups = {line.labels[SPREAD_LABEL] for line in lines if line.labels.get(SPREAD_LABEL)}
    return Need(
        source=source,
        names=tuple(line.name for line in lines),
        memory_bytes=memory_bytes,
        disk_bytes=ARCHIVE_COPIES * memory_bytes,
        labels={**affinity, **(selector or {})},
        spread=tuple(sorted(groups)),
        avoid=tuple(avoid),
    )
