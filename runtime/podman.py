"""Podman: the standard surface on its compatible socket, the rest through libpod on the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from tarfile import TarError
from typing import Any

from runtime.building import read_build
from runtime.docker import DockerRuntime
from runtime.errors import (
    CheckpointFailedError,
    CheckpointUnsupportedError,
    ContainerNotFoundError,
    EngineError,
    EngineUnavailableError,
    RestoreFailedError,
)
from runtime.fidelity import completed, layer_of, require_readable, seen_by_engine, unkept
from runtime.libpod import LibpodClient
from runtime.protocols import CheckpointStream, OnLog
from runtime.restoring import restore_error
from runtime.specs import (
    BuildSpec,
    Capabilities,
    CheckpointSpec,
    ContainerInfo,
    ContainerState,
    ImageInfo,
    RestoreSpec,
)
from runtime.upload import Upload

DOCKER_FORMAT = "application/vnd.docker.distribution.manifest.v2+json"


class PodmanRuntime(DockerRuntime):
    """One Podman host (5.x)."""

    def __init__(self, socket: str, checkpoint_probe: Callable[[], None] | None = None) -> None:
        super().__init__(socket, checkpoint_probe)
        self._libpod = LibpodClient(self.socket)
        self._unsupported: str | None = None  # why no checkpoint, once the probe has run

    def capabilities(self) -> Capabilities:
        """Tell what Podman says of itself and of its host."""
        info = self._libpod.json("/info", operation="info")
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

    def build(self, spec: BuildSpec, context: Iterable[bytes], *, on_log: OnLog) -> ImageInfo:
        """Build an image; without ``containerfile`` Podman looks for Containerfile, Dockerfile.

        Docker's image format, because OCI's has no HEALTHCHECK and Podman would drop it.
        Raises BuildFailedError with the last lines of the log.
        """
        operation, upload = f"build of {spec.tag!r}", Upload(context)
        params = {
            "t": spec.tag,
            "dockerfile": spec.containerfile,
            "buildargs": json.dumps(spec.build_args),
            "labels": json.dumps(spec.labels),
            "target": spec.target,
            "nocache": spec.no_cache,
            "layers": True,
            "outputformat": DOCKER_FORMAT,
        }
        with self._libpod.request(
            "POST", "/build", operation=operation, params=params, upload=upload
        ) as response:
            lines = self._libpod.lines(response, operation)
            image_id = read_build(spec.tag, map(json.loads, lines), on_log)
        return self.image(image_id)

    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container; what the compatible API hides comes from libpod's."""
        info = super().inspect(container)
        hidden = self._inspect(info.id)
        return info.model_copy(
            update={
                "checkpointed": hidden["State"].get("Checkpointed", False),
                "dependencies": tuple(hidden.get("Dependencies") or ()),
                "pod": hidden.get("Pod") or "",
            }
        )

    def _inspect(self, container: str) -> dict[str, Any]:
        return self._libpod.json(
            f"/containers/{container}/json",
            operation=f"inspect of {container!r}",
            on={"no such container": ContainerNotFoundError(container)},
        )

    def unkept(self, container: str) -> tuple[str, ...]:
        """Name what a move would not keep; see CheckpointRuntime."""
        hidden = self._inspect(container)
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
        info = self._require_checkpointable(container)
        hidden = self._inspect(info.id)
        try:
            require_readable(self._libpod, hidden)
        except EngineError as error:  # a file that became a directory: Podman trips over it
            reason = f"the engine cannot tell what it changed: {error.reason}"
            raise CheckpointUnsupportedError(container, reason) from error
        params = {
            "export": True,
            "ignoreRootFS": True,
            "leaveRunning": spec.leave_running,
            "tcpEstablished": spec.tcp_established,
            "fileLocks": spec.file_locks,
        }
        path, operation = f"/containers/{info.id}/checkpoint", f"checkpoint of {container!r}"
        with ExitStack() as stack:
            with _checkpoint_errors(container):
                request = self._libpod.request("POST", path, operation=operation, params=params)
                chunks = self._libpod.chunks(stack.enter_context(request), operation)
                first = next(chunks, b"")
                if not first:
                    raise CheckpointFailedError(container, "the engine sent an empty archive")
                layer = stack.enter_context(layer_of(self._libpod, hidden))
            statistics: dict[str, int] = {}
            archive = completed(chain([first], chunks), layer, statistics)
            yield CheckpointStream(_failing_as_checkpoint(archive, container), statistics)

    def _require_checkpointable(self, container: str) -> ContainerInfo:
        """Raise CheckpointUnsupportedError for what would fail, or lose data, half-way."""
        if reason := self._checkpoint_unsupported():
            raise CheckpointUnsupportedError(container, reason)
        info = self.inspect(container)
        if info.state is not ContainerState.RUNNING:
            raise CheckpointUnsupportedError(container, f"it is {info.state}, not running")
        if info.auto_remove:
            reason = "it was made with --rm and would vanish when it stops"
            raise CheckpointUnsupportedError(container, reason)
        if others := set(info.dependencies) - {self._infra_container(info)}:
            reason = f"it depends on {', '.join(sorted(others))}"
            raise CheckpointUnsupportedError(container, reason)
        return info

    def _infra_container(self, info: ContainerInfo) -> str:
        if not info.pod:
            return ""
        pod = self._libpod.json(f"/pods/{info.pod}/json", operation=f"inspect of pod {info.pod}")
        return str(pod.get("InfraContainerID", ""))

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
                params={"import": True, "name": spec.name, **_restore_params(spec)},
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
                params={"keep": spec.keep, **_restore_params(spec)},
                on={"failed to find container": ContainerNotFoundError(container)},
            )
        except EngineError as error:
            raise RestoreFailedError(container, error.reason) from error


@contextmanager
def _checkpoint_errors(container: str) -> Iterator[None]:
    """From the request on, a lost connection is a failed checkpoint: it may have been made."""
    try:
        yield
    except (EngineError, EngineUnavailableError) as error:
        raise CheckpointFailedError(container, error.reason) from error
    except (TarError, OSError) as error:  # an archive that cannot be completed has lost something
        raise CheckpointFailedError(container, str(error)) from error


def _failing_as_checkpoint(chunks: Iterator[bytes], container: str) -> Iterator[bytes]:
    while True:
        with _checkpoint_errors(container):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


def _restore_params(spec: RestoreSpec) -> dict[str, bool]:
    return {
        "tcpEstablished": spec.tcp_established,
        "fileLocks": spec.file_locks,
        "ignoreStaticIP": spec.ignore_static_ip,
        "ignoreStaticMAC": spec.ignore_static_mac,
    }
