"""Findings about the container itself and the host it runs on."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.preflight.facts import ContainerFacts, HostFacts, PathKind
from runtime.preflight.finding import Finding, blocker, warning
from runtime.preflight.versions import at_least, numbers
from runtime.specs import ContainerState

CHECKPOINTING_RUNTIMES = {"runc", "crun"}
# CRIU before 4.2 cannot dump an internet socket on Linux 6.16 or newer.
KERNEL_WITH_NEW_SOCKETS, CRIU_FOR_NEW_SOCKETS = (6, 16), (4, 2)


def container_findings(container: ContainerFacts) -> Iterator[Finding]:
    """What CRIU or Podman cannot checkpoint, whatever the target is."""
    yield from _state(container)
    yield from _namespaces(container)
    yield from _mounts(container)
    yield from _processes(container)
    if container.oci_runtime not in CHECKPOINTING_RUNTIMES | {""}:
        yield blocker(
            "runtime-unsupported",
            f"it runs under {container.oci_runtime}, which cannot checkpoint",
            "make it anew with --runtime runc or crun",
        )


def moving_findings(container: ContainerFacts) -> Iterator[Finding]:
    """What matters when the container leaves its host."""
    for shared in container.shared_volumes:
        yield blocker(
            "volume-shared",
            f"volume {shared.name!r} is shared with another container, {shared.other}",
            f"give {container.name} a volume of its own: a move would tear the two apart",
        )
    if container.secrets:
        yield blocker(
            "secret",
            f"it mounts Podman's secret {', '.join(container.secrets)}, and Podman cannot restore "
            "such a container from an archive",
            "hand the secret over in a volume, which travels",
        )
    yield from _binds(container)
    if container.network_mode == "host":
        yield warning(
            "host-network",
            "it uses its host's network: its connections break, and its ports and addresses "
            "must be free on the target",
            "give it a network of its own: --network NAME -p PORT:PORT",
        )


def _binds(container: ContainerFacts) -> Iterator[Finding]:
    for bind in container.binds:
        if bind.kind is PathKind.SOCKET:
            yield warning(
                "host-socket",
                f"it mounts the host's socket {bind.source}: a connection that it holds there "
                "makes the checkpoint fail, and on the target it talks to another server",
                "let the program close and open its connections around the move",
            )
        else:
            yield warning(
                "bind-content",
                f"the content of bind mount {bind.source} does not travel",
                "copy it to the target first, or use a named volume, which travels",
            )


def source_host_findings(container: ContainerFacts, host: HostFacts) -> Iterator[Finding]:
    """Where the source's CRIU does not suit its kernel."""
    version = host.canary.criu_version
    new_kernel = at_least(host.kernel, KERNEL_WITH_NEW_SOCKETS)
    if not version or not new_kernel or at_least(version, CRIU_FOR_NEW_SOCKETS):
        return
    processes = container.processes
    if processes is not None and not processes.inet_sockets:
        return
    make = warning if processes is None else blocker
    major, minor = numbers(host.kernel)
    yield make(
        "criu-kernel",
        f"CRIU {version} cannot checkpoint internet sockets on Linux {major}.{minor}"
        f"{' (whether it has any is not known)' if processes is None else ''}",
        f"install CRIU 4.2 or newer on {host.host}",
    )


def _state(container: ContainerFacts) -> Iterator[Finding]:
    name = container.name
    if container.state is not ContainerState.RUNNING:
        yield blocker(
            "not-running",
            f"it is {container.state}, and only a running container has memory to move",
            f"podman start {name}",
        )
    if container.auto_remove:
        yield blocker(
            "auto-remove",
            "it was made with --rm, so its checkpoint would vanish",
            "make it anew without --rm",
        )
    if container.pod:
        yield blocker(
            "pod",
            f"it belongs to pod {container.pod!r}, whose containers move together or not at all",
            f"name the pod: podferry migrate {container.pod} --to HOST",
        )
    elif container.dependencies:
        others = ", ".join(other[:12] for other in container.dependencies)
        yield blocker(
            "dependencies",
            f"it depends on {others} (a shared namespace, or --requires)",
            "make it anew with namespaces of its own",
        )


def _namespaces(container: ContainerFacts) -> Iterator[Finding]:
    if container.user_namespace not in {"", "host"}:
        yield blocker(
            "user-namespace",
            f"it has a user namespace ({container.user_namespace}), which cannot be restored",
            "make it anew with --userns host",
        )
    if container.network_mode.startswith("ns:"):
        yield blocker(
            "network-namespace",
            f"it joined the network namespace {container.network_mode.removeprefix('ns:')}",
            "make it anew with --network NAME",
        )
    if container.systemd:
        yield blocker(
            "systemd",
            "systemd is its first process, which CRIU cannot checkpoint",
            "run the service itself as the container's process (--systemd=false)",
        )


def _mounts(container: ContainerFacts) -> Iterator[Finding]:
    """Mounts that CRIU dumps and then cannot restore, not even where it dumped them."""
    for source in container.processes.linked if container.processes is not None else ():
        yield blocker(
            "bind-link",
            f"it mounts {source}, a symbolic link, and CRIU restores no mount of a link",
            f"make it anew with the path behind it: realpath {source} (for --init: --init-path)",
        )
    for target in container.overlays:
        yield blocker(
            "overlay-mount",
            f"it mounts an image or an overlay at {target}, which CRIU does not restore",
            "make it anew with a volume there that has the content",
        )


def _processes(container: ContainerFacts) -> Iterator[Finding]:
    if container.processes is None:
        return
    if container.processes.io_uring:
        yield blocker(
            "io-uring",
            "a process of it has an io_uring open, which CRIU cannot checkpoint",
            "turn io_uring off in the program (Node: UV_USE_IO_URING=0), or forbid it by seccomp",
        )
    if container.processes.mptcp:
        yield blocker(
            "mptcp",
            "it uses MPTCP sockets, which CRIU cannot checkpoint",
            "a Go program: set GODEBUG=multipathtcp=0 in its environment",
        )
    if container.processes.devices:
        yield blocker(
            "device-open",
            f"a process of it has {', '.join(container.processes.devices)} open",
            "let the program close the device before the move",
        )
