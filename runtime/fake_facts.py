"""What the fake engine says before a move; tests put other facts in its place."""

from __future__ import annotations

from runtime.fake_state import FakeContainer, FakeState, faulty
from runtime.preflight.facts import (
    Attachment,
    BindFacts,
    Canary,
    CanaryState,
    ContainerFacts,
    HostFacts,
    NetworkFacts,
    PathKind,
    ProcessFacts,
    PublishedPort,
    Room,
    SharedVolume,
    TargetFacts,
)
from runtime.specs import ContainerState

GIB = 1 << 30
HOST = HostFacts(
    engine="podman",
    version="5.4.2",
    architecture="amd64",
    kernel="6.12.0",
    oci_runtime="runc",
    memory_free_bytes=8 * GIB,
    disk_free_bytes=80 * GIB,
)


class FakeFacts(FakeState):
    """The facts of a host; every path is there unless ``paths`` says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.host = HOST
        self.checkpoint_reason = ""  # not empty: checkpoints are unsupported
        self.paths: dict[str, PathKind] = {}
        self.next_canary = Canary(state=CanaryState.OK, criu_version="4.2.1")

    def host_facts(self) -> HostFacts:
        """Say what ``host`` is, and whether checkpoints are supported."""
        return self.host.model_copy(update={"checkpoint_reason": self.checkpoint_reason})

    def room(self, host: HostFacts) -> Room:
        """Say what ``host`` has left."""
        return Room(
            memory_bytes=self.host.memory_free_bytes, disk_bytes=self.host.disk_free_bytes, load=0.0
        )

    def memory_used(self) -> dict[str, int]:
        """A MiB for each byte of a running container's memory."""
        return {i: len(c.memory) << 20 for i, c in self.containers_by_id.items() if c.memory}

    @faulty
    def canary(self) -> Canary:
        """Say what ``next_canary`` is."""
        return self.next_canary

    def describe(self, container: FakeContainer) -> ContainerFacts:
        """A container's facts, out of its spec, with what its ``facts`` say instead."""
        spec, volumes = container.spec, _volumes(container)
        shared = [
            SharedVolume(name=name, other=other.spec.name)
            for other in self.containers_by_id.values()
            for name in volumes
            if other is not container and name in _volumes(other)
        ]
        facts = ContainerFacts(
            container_id=container.id,
            name=spec.name,
            image=spec.image,
            image_id=container.image_id,
            state=container.state,
            auto_remove=spec.auto_remove,
            dependencies=container.dependencies,
            pod=container.pod,
            oci_runtime="runc",
            volumes=volumes,
            shared_volumes=tuple(shared),
            binds=tuple(
                BindFacts(source=m.source, target=m.target, kind=self._kind(m.source))
                for m in spec.mounts
                if m.type == "bind"
            ),
            ports=_ports(container),
            networks=tuple(Attachment(network=NetworkFacts(name=n.name)) for n in spec.networks),
            processes=ProcessFacts(),
        )
        return facts.model_copy(update=container.facts)

    @faulty
    def target_facts(self, container: ContainerFacts, host: HostFacts) -> TargetFacts:
        """Look for the container's things."""
        images = [i.id for i in self.images.values() if container.image in i.names]
        here = self.containers_by_id.values()
        paths = (*(bind.source for bind in container.binds), *container.devices)
        return TargetFacts(
            host=host,
            image_id=images[0] if images else "",
            name_in_use=any(other.spec.name == container.name for other in here),
            id_in_use=container.container_id in self.containers_by_id,
            volumes=tuple(name for name in container.volumes if name in self.volumes),
            ports=tuple(
                port
                for other in here
                if other.state is ContainerState.RUNNING
                for port in _ports(other)
            ),
            networks=tuple(NetworkFacts(name=name) for name in self.networks),
            paths={path: self._kind(path) for path in paths},
        )

    def _kind(self, path: str) -> PathKind:
        return self.paths.get(path, PathKind.DIRECTORY)


def _volumes(container: FakeContainer) -> tuple[str, ...]:
    return tuple(m.source for m in container.spec.mounts if m.type == "volume")


def _ports(container: FakeContainer) -> tuple[PublishedPort, ...]:
    return tuple(
        PublishedPort(
            port=port.host_port,
            protocol=port.protocol,
            address=port.host_ip,
            owner=container.spec.name,
        )
        for port in container.spec.ports
    )
