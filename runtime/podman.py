"""Podman: the standard surface on its compatible socket, the rest through libpod on the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any

from runtime import host_network
from runtime.building import read_build
from runtime.canary import run_canary
from runtime.canary_image import canary_image
from runtime.context import secret_members
from runtime.docker import DockerRuntime
from runtime.dumping import checkpoint_errors, failing_as_checkpoint
from runtime.errors import (
    CheckpointFailedError,
    CheckpointUnsupportedError,
    ContainerNotFoundError,
    EngineError,
    EngineUnavailableError,
    NetworkNotFoundError,
    RestoreFailedError,
    RuntimeEngineError,
)
from runtime.fidelity import completed, layer_of, require_readable, seen_by_engine, unkept
from runtime.health_forms import from_engine
from runtime.inspecting import container_info, container_summary
from runtime.libpod import LibpodClient
from runtime.object_answers import libpod_network_body
from runtime.peek import kinds, peeking
from runtime.podman_cold import PodmanCold
from runtime.podman_defaults import EngineDefaults, probe_body
from runtime.podman_pods import PodmanPods
from runtime.podman_requests import build_params, podman_body, restore_params
from runtime.preflight.facts import (
    Canary,
    ContainerFacts,
    HostFacts,
    PathKind,
    Room,
    TargetFacts,
)
from runtime.preflight.gathering import (
    gather_container,
    gather_host,
    gather_memory,
    gather_room,
    gather_target,
)
from runtime.protocols import CheckpointStream, OnLog, OnStep, ignore_step
from runtime.restoring import restore_error
from runtime.specs import (
    BuildSpec,
    Capabilities,
    CheckpointSpec,
    ContainerInfo,
    ContainerState,
    ContainerSummary,
    HealthCheck,
    ImageInfo,
    NetworkAttachment,
    NetworkSpec,
    RestoreSpec,
    RunSpec,
)
from runtime.upload import Upload

INFO_SECONDS = 5.0


class PodmanRuntime(PodmanCold, PodmanPods, DockerRuntime):
    """One Podman host (5.x)."""

    def __init__(self, socket: str, checkpoint_probe: Callable[[], None] | None = None) -> None:
        super().__init__(socket, checkpoint_probe)
        self._libpod = LibpodClient(self.socket)
        self._defaults = EngineDefaults(self._fresh_container)
        self._unsupported: str | None = None  # why no checkpoint, once the probe has run
        self._told: tuple[float, dict[str, Any]] | None = None  # /info, and when that was

    def capabilities(self) -> Capabilities:
        """Tell what Podman says of itself and of its host."""
        info = self._info()
        host, version = info["host"], info["version"]
        reason = self._checkpoint_unsupported()
        return Capabilities(
            engine="podman",
            version=version["Version"],
            api_version=version["APIVersion"],
            checkpoint=not reason,
            checkpoint_reason=reason,
            prefer_self_probed_health=True,
            oci_runtime=host["ociRuntime"]["name"],
            architecture=host["arch"],
            kernel=host["kernel"],
            rootless=host["security"]["rootless"],
        )

    def _info(self) -> dict[str, Any]:
        """What Podman says of itself and its host, not older than INFO_SECONDS.

        It costs Podman much, and each move asks three times.
        """
        moment = time.monotonic()
        if self._told is None or moment - self._told[0] >= INFO_SECONDS:
            self._told = (moment, self._libpod.json("/info", operation="info"))
        return self._told[1]

    def _checkpoint_unsupported(self) -> str:
        """Run the probe once; return its complaint, empty if there is none."""
        if self._unsupported is None:
            try:
                if self._checkpoint_probe is not None:
                    self._checkpoint_probe()
                self._unsupported = ""
            except Exception as error:
                self._unsupported = str(error) or type(error).__name__
        return self._unsupported

    def build(
        self,
        spec: BuildSpec,
        context: Iterable[bytes],
        *,
        on_log: OnLog,
        on_step: OnStep = ignore_step,
    ) -> ImageInfo:
        """Build an image; without ``containerfile`` Podman looks for Containerfile, Dockerfile.

        Docker's image format, because OCI's has no HEALTHCHECK and Podman would drop it.
        """
        operation = f"build of {spec.tag!r}"
        secrets, names = secret_members(spec.secrets)
        upload = Upload(chain((secrets,) if secrets else (), context))
        with self._libpod.request(
            "POST", "/build", operation=operation, params=build_params(spec, names), upload=upload
        ) as response:
            lines = self._libpod.lines(response, operation)
            image_id = read_build(spec.tag, map(json.loads, lines), on_log, on_step)
        return self.image(image_id)

    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container, by libpod's answer: the compatible one hides a lot."""
        return self._info_of(self._inspected(container))

    def _info_of(self, found: Mapping[str, Any]) -> ContainerInfo:
        return container_info(found, self._defaults.of(found["Image"]))

    def _inspected(self, container: str) -> dict[str, Any]:
        return self._libpod.json(
            f"/containers/{container}/json",
            operation=f"inspect of {container!r}",
            on={"no such container": ContainerNotFoundError(container)},
        )

    def _fresh_container(self, image: str) -> dict[str, Any]:
        """Make a container without any options, look at it, and remove it again."""
        with self._translating("probe of the engine's defaults"):
            create = self._api.create_container_from_config
            made = create(probe_body(image), None)  # type: ignore[no-untyped-call]  # bare in its stubs
        try:
            return self._inspected(made["Id"])
        finally:
            self.remove(made["Id"], volumes=True)

    def _creation(self, spec: RunSpec) -> tuple[dict[str, Any], tuple[NetworkAttachment, ...]]:
        body = podman_body(spec)  # first, so that what Podman would drop is refused before all else
        if spec.health is None and (check := self._health_of_image(spec.image)):
            body = podman_body(spec.model_copy(update={"health": check}))
        return body, ()

    def run(self, spec: RunSpec) -> str:
        """Create a container, not started; return its id (64 hex digits).

        The engine runs no health check of it, not even the image's; inspect tells it all the same.
        """
        container = super().run(spec)
        if spec.limits.memory_bytes and spec.limits.memory_swap_bytes < 0:
            try:
                self._lift_swap_limit(container, spec.limits.memory_bytes)
            except RuntimeEngineError:
                self.remove(container, force=True, volumes=True)
                raise
        return container

    def _health_of_image(self, image: str) -> HealthCheck | None:
        """Read an image's check; only libpod tells it, but names mean another image there."""
        path, operation = f"/images/{self.image(image).id}/json", f"inspect of {image!r}"
        return from_engine(self._libpod.json(path, operation=operation).get("Healthcheck"))

    def _lift_swap_limit(self, container: str, memory_bytes: int) -> None:
        """Do what the compatible create call drops: allow swap without limit."""
        body = {"memory": {"limit": memory_bytes, "swap": -1}}
        path, operation = f"/containers/{container}/update", f"update of {container!r}"
        with self._libpod.request("POST", path, operation=operation, body=body):
            pass

    def containers(self) -> list[ContainerSummary]:
        """List every container of the host by libpod's answer: the compatible one hides pods."""
        return [
            container_summary(entry) for entry in self._libpod.list("/containers/json", all=True)
        ]

    def network(self, name: str) -> NetworkSpec:
        """Describe a network by libpod's answer: the compatible one hides options and ranges."""
        found = self._libpod.json(
            f"/networks/{name}/json",
            operation=f"inspect of network {name!r}",
            on={"network not found": NetworkNotFoundError(name)},
        )
        return NetworkSpec.from_inspect(found)

    def _make_network(self, spec: NetworkSpec) -> None:
        operation, body = f"creation of network {spec.name!r}", libpod_network_body(spec)
        self._libpod.json("/networks/create", method="POST", operation=operation, body=body)

    def unkept(self, container: str) -> tuple[str, ...]:
        """Name what a move would not keep; see CheckpointRuntime."""
        hidden = self._inspected(container)
        names = [m["Name"] for m in hidden.get("Mounts") or () if m["Type"] == "volume"]
        volumes = [
            self._libpod.json(f"/volumes/{name}/json", operation=f"inspect of volume {name!r}")
            for name in names
        ]
        return unkept(hidden, volumes, partial(seen_by_engine, self.socket))

    @contextmanager
    def checkpoint(self, container: str, spec: CheckpointSpec) -> Iterator[CheckpointStream]:
        """Checkpoint a container and stream the archive; see CheckpointRuntime.

        The context is entered when the first byte is there and the writable layer has been read,
        which Podman's own export would keep only parts of: nothing is read of the container any
        more, and a restore in place works even if the rest is never read.
        """
        hidden = self._require_checkpointable(container)
        if not spec.ignore_rootfs:
            self._require_readable(container, hidden)
        params = {
            "export": True,
            "ignoreRootFS": True,  # what there is of it, we read ourselves
            "leaveRunning": spec.leave_running,
            "tcpEstablished": spec.tcp_established,
            "fileLocks": spec.file_locks,
            "keep": spec.keep,
        }
        path, operation = f"/containers/{hidden['Id']}/checkpoint", f"checkpoint of {container!r}"
        with ExitStack() as stack:
            with checkpoint_errors(container):
                request = self._libpod.request("POST", path, operation=operation, params=params)
                chunks = self._libpod.chunks(stack.enter_context(request), operation)
                first = next(chunks, b"")
                if not first:
                    raise CheckpointFailedError(container, "the engine sent an empty archive")
                layer = None
                if not spec.ignore_rootfs:
                    layer = stack.enter_context(layer_of(self._libpod, hidden))
            statistics: dict[str, int] = {}
            archive = completed(chain([first], chunks), layer, statistics)
            yield CheckpointStream(failing_as_checkpoint(archive, container), statistics)

    def _require_readable(self, container: str, hidden: dict[str, Any]) -> None:
        try:
            require_readable(self._libpod, hidden)
        except EngineError as error:  # a file that became a directory: Podman trips over it
            reason = f"the engine cannot tell what it changed: {error.reason}"
            raise CheckpointUnsupportedError(container, reason) from error

    def _require_checkpointable(self, container: str) -> dict[str, Any]:
        """Libpod's description; CheckpointUnsupportedError for what would lose data half-way."""
        if reason := self._checkpoint_unsupported():
            raise CheckpointUnsupportedError(container, reason)
        hidden = self._inspected(container)
        info = self._info_of(hidden)
        if info.state is not ContainerState.RUNNING:
            raise CheckpointUnsupportedError(container, f"it is {info.state}, not running")
        if info.auto_remove:
            reason = "it was made with --rm and would vanish when it stops"
            raise CheckpointUnsupportedError(container, reason)
        if others := [i for i in info.dependencies if not self._inspected(i).get("IsInfra")]:
            reason = f"it depends on {', '.join(sorted(others))}"
            raise CheckpointUnsupportedError(container, reason)
        return hidden

    def restore(self, chunks: Iterable[bytes], spec: RestoreSpec, *, archive: str) -> str:
        """Restore a container from an archive stream; see CheckpointRuntime.

        An answer that got lost is a RestoreFailedError too: look what is there before going on.
        """
        upload = Upload(chunks)
        try:
            made = self._libpod.json(
                "/containers/import/restore",
                method="POST",
                operation=f"restore of {archive!r}",
                params={"import": True, "name": spec.name, **restore_params(spec)},
                upload=upload,
            )
        except (EngineError, EngineUnavailableError) as error:
            if error is upload.error or not upload.started:
                raise
            raise restore_error(archive, error.reason) from error
        return str(made["Id"])

    def restore_in_place(self, container: str, spec: RestoreSpec) -> None:
        """Bring a checkpointed container back with its memory, where it was stopped."""
        try:
            self._libpod.json(
                f"/containers/{container}/restore",
                method="POST",
                operation=f"restore of {container!r}",
                params=restore_params(spec),
                on={"failed to find container": ContainerNotFoundError(container)},
            )
        except EngineError as error:
            raise RestoreFailedError(container, error.reason) from error

    @contextmanager
    def kept_apart(
        self, networks: Iterable[str], *, everyone: bool = False
    ) -> Iterator[Callable[[], None]]:
        """Cut restored containers off until all are there; see CheckpointRuntime."""
        bridges = filter(None, map(self._bridge, networks))
        apart = host_network.Apart(self.socket, bridges, everyone=everyone)
        try:
            yield apart.block
        finally:
            apart.release()

    def _bridge(self, network: str) -> str:
        answer = self._libpod.json(f"/networks/{network}/json", operation=f"inspect of {network!r}")
        return str(answer.get("network_interface") or "")

    def forget_connections(self, addresses: Iterable[str]) -> int:
        """Make this host forget what a restore would be confused by; see CheckpointRuntime."""
        return host_network.forget(self.socket, addresses)

    def initialize(self, container: str) -> None:
        """Set a created container up, all but its process; see CheckpointRuntime."""
        path, operation = f"/containers/{container}/init", f"setting up {container!r}"
        missing = {"no such container": ContainerNotFoundError(container)}
        with self._libpod.request("POST", path, operation=operation, on=missing):
            pass

    def host_facts(self) -> HostFacts:
        """Tell what a move must know of this host; see CheckpointRuntime."""
        reason = self._checkpoint_unsupported()
        return gather_host(self._info()).model_copy(update={"checkpoint_reason": reason})

    def room(self, host: HostFacts) -> Room:
        """Tell what this host has left; see CheckpointRuntime."""
        return gather_room(self.socket, host)

    def memory_used(self) -> dict[str, int]:
        """Tell how much memory each container has; see CheckpointRuntime."""
        return gather_memory(self._libpod)

    def container_facts(self, container: str) -> ContainerFacts:
        """Tell what a move must know of a container here; see CheckpointRuntime."""
        return gather_container(self._libpod, container, self._look)

    def target_facts(self, container: ContainerFacts, host: HostFacts) -> TargetFacts:
        """Tell what is here of a container of another host; see CheckpointRuntime."""
        return gather_target(self._libpod, host, container, self._look)

    def canary(self) -> Canary:
        """Checkpoint and restore a tiny container now; see CheckpointRuntime."""
        return run_canary(self, self._libpod)

    def _look(self, paths: Iterable[str]) -> dict[str, PathKind]:
        """What lies at these paths of the host; nothing is known where it cannot be asked."""
        if not (wanted := tuple(paths)):
            return {}
        architecture = gather_host(self._info()).architecture
        try:
            with (
                canary_image(self, self._libpod, architecture) as image,
                peeking(self, self._libpod, image) as peek,
            ):
                return kinds(peek, wanted)
        except EngineError:
            return {}
