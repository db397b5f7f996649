"""Findings about a pod: what Podman and CRIU cannot bring back of it, and what the target holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from runtime.pod_specs import PodInfo
from runtime.preflight.facts import ContainerFacts, TargetFacts
from runtime.preflight.finding import Finding, blocker, warning
from runtime.preflight.networks import network_findings
from runtime.preflight.target import port_findings


def pod_findings(pod: PodInfo, members: Iterable[ContainerFacts]) -> Iterator[Finding]:
    """What the source alone can tell; ``members`` are those that are to move."""
    containers = tuple(members)
    name = pod.spec.name
    for option in pod.unsupported:
        yield blocker(
            "pod-option",
            f"it was made with {option}, which a move could not give it again",
            f"make pod {name} anew without, or give that to its containers",
        )
    if pod.spec.exit_policy == "stop":
        yield blocker(
            "pod-exit-policy",
            "it stops with the last of its containers, and takes away what a container would be "
            "restored in place in, should the move fail",
            "make it anew with --exit-policy=continue (a quadlet: PodmanArgs=…)",
        )
    if others := sorted(set(pod.members) - {container.name for container in containers}):
        yield blocker(
            "pod-members",
            f"it has containers besides those that are to move: {', '.join(others)}",
            "remove those that have ended: podman rm NAME",
        )
    yield from _shared_memory(pod, containers)
    if not pod.infra:
        yield warning(
            "pod-infra",
            "it has no infra container, and Podman restores into no such pod: on the target it "
            "gets one",
            "nothing; or run its containers outside a pod (podman-compose --in-pod 0)",
        )


def pod_target_findings(
    pod: PodInfo, infra: ContainerFacts | None, target: TargetFacts, *, name_in_use: bool
) -> Iterator[Finding]:
    """What stands between a pod, with what its infra container has, and this target."""
    host, name = target.host.host, pod.spec.name
    if name_in_use:
        yield blocker(
            "name-in-use",
            f"{host} already has a pod {name!r}",
            f"look at it, then: podman pod rm {name}    # on {host}",
        )
    if infra is not None and "net" in pod.spec.share:
        yield from port_findings(infra, target)
        yield from network_findings(infra.networks, target)


def _shared_memory(pod: PodInfo, members: tuple[ContainerFacts, ...]) -> Iterator[Finding]:
    """What the containers of a pod share besides its network does not come back as it was."""
    cure = f"make pod {pod.spec.name} anew with --share net,uts"
    if pod.system_v:
        yield blocker(
            "pod-ipc",
            "System V shared memory, semaphores or queues are in use in it, and where containers "
            "share them CRIU restores none, not even in place",
            f"{cure}: each container then has an IPC namespace of its own",
        )
    if "ipc" not in pod.spec.share:
        return
    users = Counter(f for m in members if m.processes for f in m.processes.shared_memory)
    if common := sorted(file for file, count in users.items() if count > 1):
        yield blocker(
            "pod-shm",
            f"several of its containers use {', '.join(common)}, and Podman gives each container "
            "of a restored pod a /dev/shm of its own",
            "let them share a file in a volume",
        )
    elif len(members) > 1:
        yield warning(
            "pod-shm",
            "its containers share /dev/shm; after the move each has its own copy of it",
            f"nothing, if they do not use it together; or {cure}",
        )
