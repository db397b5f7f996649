"""Ask one Podman host for facts: a few requests to its socket, and its machine's own word."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from runtime.errors import ContainerNotFoundError, EngineError, ImageNotFoundError
from runtime.host import seen_by_engine
from runtime.libpod import LibpodClient
from runtime.preflight import machine
from runtime.preflight.facts import (
    Attachment,
    ContainerFacts,
    HostFacts,
    NetworkFacts,
    PathKind,
    Room,
    SharedVolume,
    TargetFacts,
)
from runtime.preflight.reading import read_container, read_host, read_network, read_ports

Look = Callable[[Iterable[str]], dict[str, PathKind]]


def gather_host(info: dict[str, Any]) -> HostFacts:
    """A host's facts, without a canary's; ``info`` is Podman's ``/info``."""
    facts = read_host(info)
    available = machine.memory_available()
    return facts.model_copy(
        update={
            "cpu_flags": machine.cpu_flags(),
            "memory_free_bytes": facts.memory_free_bytes if available is None else available,
        }
    )


def gather_room(socket: str, host: HostFacts) -> Room:
    """What a host has left, without a question to its engine: that costs much, and may wait."""
    return Room(
        memory_bytes=machine.memory_available(),
        disk_bytes=_disk_free(socket, host.graph_root),
        load=machine.load(),
    )


def gather_memory(libpod: LibpodClient) -> dict[str, int]:
    """Resident bytes of each running container by id; from the engine where none can be seen."""
    found = machine.memory_of_containers()
    return found or {e["ContainerID"]: e["MemUsage"] for e in _statistics(libpod, {})}


def gather_container(libpod: LibpodClient, container: str, look: Look) -> ContainerFacts:
    """A container's facts on its source. Raises ContainerNotFoundError."""
    found = libpod.json(
        f"/containers/{container}/json",
        operation=f"inspect of {container!r}",
        params={"size": True},
        on={"no such container": ContainerNotFoundError(container)},
    )
    facts = read_container(found)
    kinds = look(bind.source for bind in facts.binds)
    processes = machine.processes(facts.container_id, found.get("OCIConfigPath") or "")
    named = _image(libpod, facts.image)
    return facts.model_copy(
        update={
            "pod": _pod_name(libpod, facts),
            "image_named": named.get("Id") == facts.image_id,
            "image_bytes": _image(libpod, facts.image_id).get("Size", 0),
            "shared_volumes": tuple(_shared(libpod, facts)),
            "binds": tuple(
                bind.model_copy(update={"kind": kinds.get(bind.source)}) for bind in facts.binds
            ),
            "networks": tuple(_described(libpod, a) for a in facts.networks),
            "memory_bytes": processes.memory_bytes if processes else _memory(libpod, facts),
            "processes": processes,
        }
    )


def gather_target(
    libpod: LibpodClient, host: HostFacts, container: ContainerFacts, look: Look
) -> TargetFacts:
    """What a target holds that concerns a container of another host."""
    listed = libpod.list("/containers/json", all=True)
    volumes = {volume["Name"] for volume in libpod.list("/volumes/json")}
    published = tuple(read_ports(listed))
    known = {(port.port, port.protocol) for port in published}  # Podman listens on these itself
    return TargetFacts(
        host=host,
        image_id=_image(libpod, container.image).get("Id", ""),
        name_in_use=any(container.name in entry["Names"] for entry in listed),
        id_in_use=any(entry["Id"] == container.container_id for entry in listed),
        volumes=tuple(name for name in container.volumes if name in volumes),
        ports=(
            *published,
            *(port for port in machine.listening() if (port.port, port.protocol) not in known),
        ),
        networks=tuple(_networks(libpod, {a.network.name for a in container.networks})),
        paths=look((*(bind.source for bind in container.binds), *container.devices)),
    )


def _pod_name(libpod: LibpodClient, facts: ContainerFacts) -> str:
    listed = libpod.list("/containers/json", all=True) if facts.pod else ()
    return next((str(e["PodName"]) for e in listed if e["Id"] == facts.container_id), "")


def _image(libpod: LibpodClient, name: str) -> dict[str, Any]:
    absent = {"no such image": ImageNotFoundError(name), "not known": ImageNotFoundError(name)}
    try:
        return libpod.json(f"/images/{name}/json", operation=f"inspect of {name!r}", on=absent)
    except ImageNotFoundError:
        return {}


def _networks(libpod: LibpodClient, names: set[str]) -> Iterable[NetworkFacts]:
    """All networks; only a question about a single one tells which addresses are taken."""
    for network in map(read_network, libpod.list("/networks/json")):
        yield _network(libpod, network.name) if network.name in names else network


def _network(libpod: LibpodClient, name: str) -> NetworkFacts:
    return read_network(libpod.json(f"/networks/{name}/json", operation=f"inspect of {name!r}"))


def _described(libpod: LibpodClient, attachment: Attachment) -> Attachment:
    network = _network(libpod, attachment.network.name).model_copy(update={"taken": {}})
    return attachment.model_copy(update={"network": network})


def _shared(libpod: LibpodClient, facts: ContainerFacts) -> Iterable[SharedVolume]:
    for volume in facts.volumes:
        users = libpod.list("/containers/json", all=True, filters=f'{{"volume":["{volume}"]}}')
        for user in users:
            if user["Id"] != facts.container_id:
                yield SharedVolume(name=volume, other=user["Names"][0])


def _memory(libpod: LibpodClient, facts: ContainerFacts) -> int:
    """Memory of its cgroup, page cache included; 0 when it does not run."""
    entries = _statistics(libpod, {"containers": facts.container_id})
    return sum(entry["MemUsage"] for entry in entries)


def _statistics(libpod: LibpodClient, which: dict[str, str]) -> list[dict[str, Any]]:
    """Of these running containers, or of all."""
    params = {**which, "stream": False}
    try:
        answer = libpod.json("/containers/stats", operation="statistics", params=params)
    except EngineError:  # it is not running
        return []
    return answer.get("Stats") or []


def _disk_free(socket: str, directory: str) -> int | None:
    """Free bytes where the engine keeps its data; None where the worker cannot see that."""
    place = seen_by_engine(socket, directory) if directory else None
    if place is None:
        return None
    with suppress(OSError):
        found = os.statvfs(place)
        return found.f_bfree * found.f_frsize
    return None
