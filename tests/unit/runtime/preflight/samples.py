"""A container, its source and its target, between which nothing is in the way."""

from __future__ import annotations

from runtime import (
    Canary,
    CanaryState,
    ContainerFacts,
    ContainerState,
    Finding,
    HostFacts,
    TargetFacts,
    move_findings,
    source_findings,
)
from runtime.preflight.facts import Attachment, NetworkFacts, ProcessFacts, PublishedPort

GIB = 1 << 30
CANARY = Canary(state=CanaryState.OK, criu_version="4.2.1")
A = HostFacts(
    host="a",
    engine="podman",
    version="5.4.2",
    architecture="amd64",
    kernel="6.18.44-1",
    oci_runtime="runc",
    cpu_flags=("avx", "avx2", "sse2"),
    memory_free_bytes=4 * GIB,
    disk_free_bytes=40 * GIB,
    canary=CANARY,
)
B = A.model_copy(update={"host": "b"})
NETWORK = NetworkFacts(name="net", subnets=("10.89.0.0/24",))
WEB = ContainerFacts(
    container_id="c" * 64,
    name="web",
    image="localhost/web:1",
    image_id="1" * 64,
    image_bytes=GIB,
    state=ContainerState.RUNNING,
    oci_runtime="runc",
    network_mode="bridge",
    volumes=("data",),
    ports=(PublishedPort(port=8080),),
    networks=(Attachment(network=NETWORK, addresses=("10.89.0.7",)),),
    memory_bytes=GIB,
    processes=ProcessFacts(inet_sockets=True),
)
TARGET = TargetFacts(host=B, image_id="1" * 64, networks=(NETWORK,))

Changes = dict[str, object]


def judged(
    *,
    container: Changes | None = None,
    source: Changes | None = None,
    host: Changes | None = None,
    target: Changes | None = None,
    cold: bool = False,
) -> tuple[Finding, ...]:
    """All findings when these facts are other than the samples'; ``host`` is the target's."""
    web = WEB.model_copy(update=container or {})
    a = A.model_copy(update=source or {})
    there = {"host": B.model_copy(update=host or {}), **(target or {})}
    return (
        *source_findings(web, a, moving=True, cold=cold),
        *move_findings(web, a, TARGET.model_copy(update=there), cold=cold),
    )
