"""Findings about what the target holds, and what it has room for."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.preflight.facts import ContainerFacts, PathKind, PublishedPort, TargetFacts
from runtime.preflight.finding import Finding, blocker, warning
from runtime.preflight.networks import network_findings

ARCHIVE_COPIES = 2  # Podman keeps the archive that came in beside what it unpacks from it
MIB = 1 << 20


def target_findings(
    container: ContainerFacts, target: TargetFacts, *, cold: bool = False
) -> Iterator[Finding]:
    """What Podman would tell only after the source was stopped."""
    yield from _names(container, target)
    yield from _image(container, target)
    yield from port_findings(container, target)
    yield from network_findings(container.networks, target)
    yield from _paths(container, target)
    yield from _room(container, target, memory=not cold)


def _names(container: ContainerFacts, target: TargetFacts) -> Iterator[Finding]:
    host, name = target.host.host, container.name
    if target.name_in_use:
        yield blocker(
            "name-in-use",
            f"{host} already has a container of that name, {name!r}",
            f"podman rename {name} OTHER    # on {host}",
        )
    if target.id_in_use and not target.name_in_use:
        yield blocker(
            "id-in-use",
            f"{host} already has a container of that id, {container.container_id[:12]}",
            f"look whether it is an old copy: podman inspect {container.container_id[:12]}"
            f"    # on {host}",
        )
    for volume in target.volumes:
        yield blocker(
            "volume-exists",
            f"{host} already has a volume {volume!r}; a move would overwrite it",
            f"look at it, then: podman volume rm {volume}    # on {host}",
        )


def _image(container: ContainerFacts, target: TargetFacts) -> Iterator[Finding]:
    if target.image_id == container.image_id:
        return
    host, image = target.host.host, container.image
    if not target.image_archived and not container.image_named:
        yield blocker(
            "image-unavailable",
            f"{host} lacks its image {container.image_id[:12]}, the store has none, and on the "
            f"source {image} does not mean it any more",
            f"podman tag {container.image_id[:12]} {image}    # on the source",
        )
    elif target.image_id:
        yield warning(
            "image-differs",
            f"{image} is another image on {host} ({target.image_id[:12]}); the move gives the "
            f"name to the container's ({container.image_id[:12]})",
            f"to keep the other: podman tag {target.image_id[:12]} OTHER    # on {host}",
        )


def port_findings(container: ContainerFacts, target: TargetFacts) -> Iterator[Finding]:
    """Published ports of the container that something on the target has."""
    host = target.host.host
    for port in container.ports:
        theirs = next((other for other in target.ports if _clash(port, other)), None)
        if theirs is None:
            continue
        owner = f"container {theirs.owner!r}" if theirs.owner else "a process"
        find = f"ss -lnp 'sport = :{port.port}'"
        yield blocker(
            "port-taken",
            f"port {port.port}/{port.protocol} is taken on {host} by {owner}",
            f"{f'podman stop {theirs.owner}' if theirs.owner else find}    # on {host}",
        )


def _clash(ours: PublishedPort, theirs: PublishedPort) -> bool:
    same = (ours.port, ours.protocol) == (theirs.port, theirs.protocol)
    return same and (not ours.address or not theirs.address or ours.address == theirs.address)


def _paths(container: ContainerFacts, target: TargetFacts) -> Iterator[Finding]:
    host = target.host.host
    for bind in container.binds:
        if target.paths.get(bind.source) is PathKind.MISSING:
            make = "mkdir -p" if bind.kind in {PathKind.DIRECTORY, None} else "put it at"
            yield blocker(
                "bind-missing",
                f"{host} has no {bind.source}, which is mounted at {bind.target}",
                f"{make} {bind.source}    # on {host}, with the content that it needs",
            )
    for device in container.devices:
        if target.paths.get(device) is PathKind.MISSING:
            yield blocker(
                "device-missing",
                f"{host} has no device {device}",
                f"choose a target with {device}",
            )
        else:
            yield warning(
                "devices",
                f"it was given device {device}: it will be the target's, in whatever state",
                "let the program open it anew after the move",
            )


def _room(container: ContainerFacts, target: TargetFacts, *, memory: bool) -> Iterator[Finding]:
    """Volumes are not counted: what they hold cannot be asked for without reading all of it."""
    host = target.host
    absent = target.image_id != container.image_id
    dumped = container.memory_bytes if memory else 0
    needed = ARCHIVE_COPIES * (dumped + container.layer_bytes)
    needed += container.image_bytes if absent else 0
    if needed > host.disk_free_bytes:
        what = "memory, layer and image" if memory else "layer and image"
        yield blocker(
            "disk-short",
            f"{host.host} has {host.disk_free_bytes // MIB} MiB free where Podman keeps its "
            f"data; {what} need about {needed // MIB} MiB, volumes not counted",
            f"podman system prune    # on {host.host}",
        )
    if container.memory_bytes > host.memory_free_bytes:
        yield blocker(
            "memory-short",
            f"{host.host} has {host.memory_free_bytes // MIB} MiB of memory free, "
            f"the container uses {container.memory_bytes // MIB} MiB",
            "choose another target, or stop something there",
        )
