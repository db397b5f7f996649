"""What several containers owe each other: who waits for whom, and who shares whose volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from runtime import ContainerState, ContainerSummary
from tasks.models import GroupKind, WorkloadLine

# Compose's labels (docker compose and podman-compose write the same ones).
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
SYSTEM_LABEL = "podferry.system"  # it belongs to its host: a drain does not move it
SYSTEMD_LABEL = "PODMAN_SYSTEMD_UNIT"  # podman-systemd.unit(5)
DEPENDS_LABEL = "com.docker.compose.depends_on"  # "db:service_healthy:false,cache:…"


# What ended is no part of a group that moves: it has no memory.
LIVE = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})


def group_members(lines: Iterable[WorkloadLine], group: GroupKind, name: str) -> tuple[str, ...]:
    """The names of a group's live containers on one host, sorted."""
    return tuple(
        sorted(
            line.name
            for line in lines
            if line.state in LIVE
            and name == (line.project if group is GroupKind.PROJECT else line.pod)
        )
    )


@dataclass(frozen=True, kw_only=True)
class SharedVolumes:
    """Whose archive carries the volumes that several containers mount.

    ``carriers`` maps a container to the one whose archive has all of its volumes. ``torn`` are
    those that share a volume and have another one that nobody with the shared one has: whichever
    archive carried the shared one, one of two would be written twice.
    """

    carriers: Mapping[str, str]
    torn: tuple[str, ...]


def shared_volumes(volumes: Mapping[str, tuple[str, ...]]) -> SharedVolumes:
    """Choose carriers; ``volumes`` are the volumes of each container."""
    roots: list[str] = []
    carriers: dict[str, str] = {}
    torn = []
    for name in sorted(volumes, key=lambda n: -len(volumes[n])):
        mine = set(volumes[name])
        carrier = next((root for root in roots if mine and mine <= set(volumes[root])), None)
        if carrier is not None:
            carriers[name] = carrier
        elif any(mine & set(volumes[root]) for root in roots):
            torn.append(name)
        else:
            roots.append(name)
    return SharedVolumes(carriers=carriers, torn=tuple(torn))


def bring_back_order(
    labels: Mapping[str, Mapping[str, str]], carriers: Mapping[str, str]
) -> tuple[str, ...]:
    """The containers' names, dependencies first; among a service's copies, by name.

    Who carries a volume comes before all others: the volume has to be there for them.
    """
    services: dict[str, list[str]] = {}
    for name in sorted(labels):
        services.setdefault(labels[name].get(SERVICE_LABEL, name), []).append(name)
    waits = {
        service: [d for d in _dependencies(labels[names[0]]) if d in services]
        for service, names in services.items()
    }
    try:
        ordered = list(TopologicalSorter(waits).static_order())
    except CycleError:  # no engine would have started it like this; any order is as good
        ordered = sorted(services)
    names = [name for service in ordered for name in services[service]]
    return tuple(sorted(names, key=lambda name: name not in carriers.values()))


def group_of(line: WorkloadLine) -> tuple[GroupKind | None, str]:
    """The kind and the name of what a container moves with; itself, when that is nothing."""
    if line.pod:
        return GroupKind.POD, line.pod
    return (GroupKind.PROJECT, line.project) if line.project else (None, line.name)


def workload_line(container: ContainerSummary, memory_bytes: int = 0) -> WorkloadLine:
    """A container as an inventory has it."""
    return WorkloadLine(
        name=container.name,
        id=container.id,
        image=container.image,
        state=container.state,
        project=container.labels.get(PROJECT_LABEL, ""),
        pod=container.pod,
        labels=_own_labels(container.labels),
        memory_bytes=memory_bytes,
    )


def _own_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What labels say to Podferry. What systemd runs belongs to its host: it starts it again."""
    own = {key: value for key, value in labels.items() if key.startswith("podferry.")}
    return {SYSTEM_LABEL: "true", **own} if SYSTEMD_LABEL in labels else own


def _dependencies(labels: Mapping[str, str]) -> list[str]:
    entries = labels.get(DEPENDS_LABEL, "").split(",")
    return sorted(entry.partition(":")[0].strip() for entry in entries if entry.strip())
