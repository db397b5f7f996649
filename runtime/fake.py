"""An engine in memory, for unit tests and simulations; it passes the real one's contract tests."""

from __future__ import annotations

import secrets
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from runtime.creating import require_supported
from runtime.errors import (
    CheckpointUnsupportedError,
    ContainerExistsError,
    ContainerNotFoundError,
    EngineError,
    ImageNotFoundError,
    NetworkNotFoundError,
    RestoreFailedError,
)
from runtime.fake_archive import read_archive, write_archive, write_cold_archive
from runtime.fake_exec import FakeExec
from runtime.fake_facts import FakeFacts
from runtime.fake_objects import FakeImages, FakeObjects
from runtime.fake_pods import FakePods
from runtime.fake_state import FakeContainer, FakeVolume, faulty, pack, pieces, unpack
from runtime.fake_watching import FakeWatching
from runtime.inspecting import label_filter
from runtime.podman_requests import podman_body
from runtime.preflight.facts import ContainerFacts
from runtime.protocols import CheckpointStream
from runtime.specs import (
    Capabilities,
    CheckpointSpec,
    ColdSpec,
    ContainerInfo,
    ContainerState,
    ContainerSummary,
    Mount,
    RestartPolicy,
    RestoreSpec,
    RunSpec,
)


class FakeRuntime(FakeImages, FakeObjects, FakePods, FakeExec, FakeWatching, FakeFacts):
    """A CheckpointRuntime without an engine.

    ``commands`` maps what exec is given to what it does; any other command exits 0 and is silent.
    ``registry`` holds the images that can be pulled, by name.
    """

    def __init__(self, *, checkpoint_reason: str = "") -> None:
        super().__init__()
        self.checkpoint_reason = checkpoint_reason  # not empty: checkpoints are unsupported
        self.cold_reason = ""  # not empty: cold copies are unsupported
        self.losses: tuple[str, ...] = ()  # what ``unkept`` says

    @faulty
    def ping(self) -> None:
        """Return."""

    @faulty
    def capabilities(self) -> Capabilities:
        """Say that everything works, unless ``checkpoint_reason`` is set."""
        return Capabilities(
            engine="podman",
            version="5.4.2",
            api_version="5.4.2",
            checkpoint=not self.checkpoint_reason,
            checkpoint_reason=self.checkpoint_reason,
            prefer_self_probed_health=True,
            oci_runtime="runc",
            architecture="amd64",
            kernel="6.12.0",
        )

    @faulty
    def container_facts(self, container: str) -> ContainerFacts:
        """Describe one container for a move."""
        return self.describe(self._find(container))

    @faulty
    def run(self, spec: RunSpec) -> str:
        """Create a container of what Podman would take; anonymous volumes get 64 hex digits."""
        require_supported(spec)
        podman_body(spec)
        image = self._image(spec.image)
        self._require_free(spec.name)
        for network in spec.networks:
            if not network.is_mode and network.name not in self.networks:
                raise NetworkNotFoundError(network.name)
        mounts = tuple(map(self._with_volume, spec.mounts))
        container = FakeContainer(
            id=secrets.token_hex(32),
            spec=spec.model_copy(update={"mounts": mounts}),
            image_id=image.id,
        )
        self.containers_by_id[container.id] = container
        self._tell("create", container)
        return container.id

    def _require_free(self, *names: str) -> None:
        for container in self.containers_by_id.values():
            for name in names:
                if name in (container.id, container.spec.name):
                    raise ContainerExistsError(name)

    def _with_volume(self, mount: Mount) -> Mount:
        if mount.type != "volume":
            return mount
        name = mount.source or secrets.token_hex(32)
        self.volumes.setdefault(name, FakeVolume())
        return mount.model_copy(update={"source": name})

    @faulty
    def start(self, container: str) -> None:
        """Start with fresh memory."""
        found = self._find(container)
        if found.state is not ContainerState.RUNNING:
            found.state, found.memory = ContainerState.RUNNING, secrets.token_hex(8).encode()
            found.checkpoint = None
            self._tell("start", found)

    @faulty
    def stop(self, container: str, *, timeout_seconds: int | None = None) -> None:
        """Stop at once."""
        found = self._find(container)
        if found.state in (ContainerState.RUNNING, ContainerState.PAUSED):
            found.state, found.memory = ContainerState.EXITED, b""
            self._tell("die", found)
            if found.spec.auto_remove:
                del self.containers_by_id[found.id]

    @faulty
    def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container and, if asked, its volumes that have no name of a person's."""
        try:
            found = self._find(container)
        except ContainerNotFoundError:
            return
        if found.state is ContainerState.RUNNING and not force:
            raise EngineError(f"removal of {container!r}", "container state improper")
        del self.containers_by_id[found.id]
        self._tell("remove", found)
        if volumes:
            for mount in found.spec.mounts:
                if len(mount.source) == 64 and not self.volume_users(mount.source):
                    self.volumes.pop(mount.source, None)

    @faulty
    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container."""
        found = self._find(container)
        return ContainerInfo(
            id=found.id,
            name=found.spec.name,
            image=found.spec.image,
            image_id=found.image_id,
            state=found.state,
            pid=1 if found.state is ContainerState.RUNNING else 0,
            exit_code=found.exit_code,
            auto_remove=found.spec.auto_remove,
            checkpointed=found.checkpoint is not None,
            dependencies=found.dependencies,
            pod=self.pods[found.pod].id if found.pod else "",
            spec=found.spec,
        )

    @faulty
    def containers(self) -> list[ContainerSummary]:
        """List every container."""
        return [_summary(container) for container in self.containers_by_id.values()]

    @faulty
    def find_containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """List containers that carry all ``labels``."""
        label_filter(labels)
        return [s for s in self.containers() if labels.items() <= s.labels.items()]

    @faulty
    def update_restart_policy(self, container: str, policy: RestartPolicy) -> None:
        """Change the policy; nothing here ends by itself."""
        found = self._find(container)
        found.spec = found.spec.model_copy(update={"restart": policy})

    @faulty
    def put_archive(self, container: str, path: str, chunks: Iterable[bytes]) -> None:
        """Unpack into the layer, or into the volume that is mounted there."""
        found = self._find(container)
        data = b"".join(chunks)
        try:
            unpacked = unpack([data])
        except tarfile.TarError as error:
            raise EngineError(f"unpacking at {path!r}", str(error)) from error
        files, inner = self._files_at(found, path)
        for name, content in unpacked.items():
            files[f"{inner}/{name}".lstrip("/")] = content

    @contextmanager
    def get_archive(self, container: str, path: str) -> Iterator[Iterator[bytes]]:
        """Stream a file, or the files of a directory."""
        files, inner = self._files_at(self._find(container), path)
        base = path.rstrip("/").rpartition("/")[2]
        members = {
            f"{base}{name.removeprefix(inner)}" if name.startswith(inner) else name: content
            for name, content in files.items()
            if not inner or name == inner or name.startswith(f"{inner}/")
        }
        if not members:
            raise EngineError(f"archive of {path!r}", "no such file or directory")
        yield pieces(pack(members))

    def _files_at(self, container: FakeContainer, path: str) -> tuple[dict[str, bytes], str]:
        """Return the files that hold ``path`` and its place among them."""
        for mount in container.spec.mounts:
            if mount.type == "volume" and f"{path}/".startswith(f"{mount.target}/"):
                return self.volumes[mount.source].files, path.removeprefix(mount.target).strip("/")
        return container.files, path.strip("/")

    @faulty
    def unkept(self, container: str) -> tuple[str, ...]:
        """Say what ``losses`` holds."""
        self._find(container)
        return self.losses

    @contextmanager
    def checkpoint(self, container: str, spec: CheckpointSpec) -> Iterator[CheckpointStream]:
        """Stop a container, keep its memory in place and stream an archive of it."""
        if planned := self.faults["checkpoint"]:
            raise planned.pop(0)
        found = self._find(container)
        if reason := self._why_not(found):
            raise CheckpointUnsupportedError(container, reason)
        names = [m.source for m in found.spec.mounts if m.type == "volume"]
        data = write_archive(found, {name: self.volumes[name] for name in names})
        if not spec.leave_running:
            found.state, found.checkpoint = ContainerState.EXITED, found.memory
            found.memory = b""
        yield CheckpointStream(pieces(data), {"pages_written": 1})

    @faulty
    def cold_blocker(self, container: str) -> str:
        """Say what would go wrong, or what ``cold_reason`` holds."""
        return self._why_not_cold(self._find(container))

    @contextmanager
    def cold_copy(self, container: str, spec: ColdSpec) -> Iterator[CheckpointStream]:
        """Stop a container and stream an archive of its files."""
        if planned := self.faults["cold_copy"]:
            raise planned.pop(0)
        found = self._find(container)
        if reason := self._why_not_cold(found):
            raise CheckpointUnsupportedError(container, reason)
        self.stop(container, timeout_seconds=spec.stop_timeout_seconds)
        mounted = {m.source for m in found.spec.mounts if m.type == "volume"}
        names = () if spec.ignore_volumes else sorted(mounted)
        yield CheckpointStream(
            pieces(write_cold_archive(found, {name: self.volumes[name] for name in names})), {}
        )

    @faulty
    def remove_paths(self, container: str, paths: Iterable[str]) -> None:
        """Remove files of the layer; those of the image are gone too."""
        found = self._find(container)
        for path in paths:
            found.deleted.add(path)
            name = path.strip("/")
            for file in [f for f in found.files if f == name or f.startswith(f"{name}/")]:
                del found.files[file]

    def _why_not_cold(self, container: FakeContainer) -> str:
        if container.state is not ContainerState.RUNNING:
            return f"it is {container.state}, not running"
        if container.spec.auto_remove:
            return "it was made with --rm and would vanish when it stops"
        return self.cold_reason

    def _why_not(self, container: FakeContainer) -> str:
        if container.state is not ContainerState.RUNNING:
            return f"it is {container.state}, not running"
        if container.spec.auto_remove:
            return "it was made with --rm and would vanish when it stops"
        if container.dependencies:
            return f"it depends on {', '.join(container.dependencies)}"
        return self.checkpoint_reason

    @faulty
    def restore(self, chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        """Bring a container of another fake host back with its memory."""
        data = b"".join(chunks)
        try:
            restored = read_archive(data)
        except ValueError as error:
            raise RestoreFailedError(archive, str(error)) from error
        made = restored.container
        if spec.name:  # a container under another name is another container, as Podman has it
            made.id = secrets.token_hex(32)
            made.spec = made.spec.model_copy(update={"name": spec.name})
        self._require_free(made.id, made.spec.name)
        if bool(made.pod) != bool(spec.pod) or spec.pod not in {"", *self.pods}:
            raise RestoreFailedError(archive, "cannot restore pod container without --pod")
        made.pod = spec.pod
        if made.image_id not in self.images:
            raise ImageNotFoundError(restored.image)
        for network in made.spec.networks:
            if not network.is_mode and network.name not in self.networks:
                raise RestoreFailedError(archive, f"network {network.name} not found")
        for name in () if spec.ignore_volumes else restored.volumes:
            if name in self.volumes:
                raise RestoreFailedError(archive, f"volume with name {name} already exists")
        self.volumes = {**restored.volumes, **self.volumes}
        if spec.publish:
            made.spec = made.spec.model_copy(update={"ports": spec.publish})
        if spec.ignore_rootfs:
            made.files.clear()
            made.deleted.clear()
        made.state = ContainerState.RUNNING
        self.containers_by_id[made.id] = made
        return made.id

    @faulty
    def restore_in_place(self, container: str, spec: RestoreSpec) -> None:
        """Bring a checkpointed container back with its memory."""
        found = self._find(container)
        if found.checkpoint is None:
            raise RestoreFailedError(container, "it has no checkpoint to restore")
        found.state, found.memory = ContainerState.RUNNING, found.checkpoint
        found.checkpoint = found.checkpoint if spec.keep else None

    @contextmanager
    def kept_apart(
        self, networks: Iterable[str], *, everyone: bool = False
    ) -> Iterator[Callable[[], None]]:
        """Cut nobody off: nobody talks here."""
        yield lambda: None

    @faulty
    def forget_connections(self, addresses: Iterable[str]) -> int:
        """Know of none."""
        return 0

    @faulty
    def initialize(self, container: str) -> None:
        """Find the container; its volumes have no owners here."""
        self._find(container)


def _summary(container: FakeContainer) -> ContainerSummary:
    return ContainerSummary(
        id=container.id,
        name=container.spec.name,
        image=container.spec.image,
        state=container.state,
        labels=container.spec.labels,
        pod=container.pod,
    )
