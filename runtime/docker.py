"""The standard surface over a Docker-compatible socket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from docker.errors import NotFound
from docker.utils import version_lt

from runtime.connection import HANDSHAKE_SECONDS
from runtime.creating import create_body, further_networks, require_supported
from runtime.docker_exec import DockerExec
from runtime.docker_images import DockerImages
from runtime.docker_objects import DockerObjects
from runtime.docker_watching import DockerWatching
from runtime.errors import (
    ContainerExistsError,
    ContainerNotFoundError,
    ImageNotFoundError,
    NetworkNotFoundError,
    RuntimeEngineError,
    UnsupportedOptionError,
)
from runtime.inspecting import container_info, container_summary, label_filter
from runtime.reaching import CONNECT_SECONDS
from runtime.specs import (
    Capabilities,
    ContainerInfo,
    ContainerSummary,
    NetworkAttachment,
    RestartPolicy,
    RunSpec,
)
from runtime.translate import checked
from runtime.upload import Upload

START_INTERVAL_SINCE = "1.44"  # an older engine drops it without a word


class DockerRuntime(DockerImages, DockerObjects, DockerExec, DockerWatching):
    """The standard surface of one host's engine; safe to construct before a fork."""

    def ping(self) -> None:
        """Return when the engine answers."""
        with self._translating("ping"):
            url, timeout = self._url("/_ping"), (CONNECT_SECONDS, HANDSHAKE_SECONDS)
            checked(self._api.get(url, timeout=timeout)).close()

    def capabilities(self) -> Capabilities:
        """Tell what this engine is. Docker's own restore is broken, so it never checkpoints."""
        with self._translating("version"):
            version, info = self._api.version(), self._api.info()
        return Capabilities(
            engine="docker",
            version=version["Version"],
            api_version=version["ApiVersion"],
            checkpoint=False,
            checkpoint_reason="Docker cannot restore a checkpoint from an archive",
            oci_runtime=info.get("DefaultRuntime", ""),
            architecture=info.get("Architecture", ""),
            kernel=info.get("KernelVersion", ""),
            rootless="name=rootless" in (info.get("SecurityOptions") or ()),
        )

    def run(self, spec: RunSpec) -> str:
        """Create a container, not started; return its id (64 hex digits)."""
        require_supported(spec)
        body, further = self._creation(spec)
        wanted = ", ".join(network.name for network in spec.networks)
        known: dict[str, RuntimeEngineError] = {
            "no such image": ImageNotFoundError(spec.image),
            "already in use": ContainerExistsError(spec.name),
            "network not found": NetworkNotFoundError(wanted),
        }
        with self._translating(f"creation of {spec.name!r}", known):
            create = self._api.create_container_from_config
            made = create(body, spec.name)  # type: ignore[no-untyped-call]  # bare in its stubs
        container = str(made["Id"])
        try:
            for network in further:
                self._join(container, network)
        except RuntimeEngineError:
            self.remove(container, force=True)
            raise
        return container

    def _creation(self, spec: RunSpec) -> tuple[dict[str, Any], tuple[NetworkAttachment, ...]]:
        """Return the body of the create call and the networks to join after it."""
        body = create_body(spec)
        knows = not version_lt(self._api.api_version, START_INTERVAL_SINCE)
        if "StartInterval" in body.get("Healthcheck", ()) and not knows:
            reason = f"Docker's API has it since {START_INTERVAL_SINCE}"
            raise UnsupportedOptionError("health.start_interval_seconds", reason)
        return body, further_networks(spec)

    def _join(self, container: str, network: NetworkAttachment) -> None:
        known = _missing(container) | {"not found": NetworkNotFoundError(network.name)}
        with self._translating(f"joining {network.name!r}", known):
            self._api.connect_container_to_network(
                container,
                network.name,
                ipv4_address=network.ipv4 or None,
                ipv6_address=network.ipv6 or None,
                aliases=list(network.aliases),
                mac_address=network.mac or None,
            )

    def start(self, container: str) -> None:
        """Start a container; one that runs is no error."""
        with self._translating(f"start of {container!r}", _missing(container)):
            self._api.start(container)

    def stop(self, container: str, *, timeout_seconds: int | None = None) -> None:
        """Stop a container; one that is stopped is no error."""
        with self._translating(f"stop of {container!r}", _missing(container)):
            self._api.stop(container, timeout=timeout_seconds)

    def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container (and its anonymous volumes); one that is absent is no error."""
        with self._translating(f"removal of {container!r}"), suppress(NotFound):
            self._api.remove_container(container, v=volumes, force=force)

    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container by name or id. Raises ContainerNotFoundError."""
        with self._translating(f"inspect of {container!r}", _missing(container)):
            return container_info(self._api.inspect_container(container))

    def containers(self) -> list[ContainerSummary]:
        """List every container of the host, running or not."""
        with self._translating("list of containers"):
            return [container_summary(entry) for entry in self._api.containers(all=True)]

    def find_containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """List containers that carry all ``labels``. An empty filter raises ValueError."""
        filters = {"label": label_filter(labels)}
        with self._translating("list of containers"):
            found = self._api.containers(all=True, filters=filters)
        return [container_summary(entry) for entry in found]

    def update_restart_policy(self, container: str, policy: RestartPolicy) -> None:
        """Change what happens when the container's process ends."""
        body = {"RestartPolicy": {"Name": policy.name, "MaximumRetryCount": policy.max_retries}}
        with self._translating(f"update of {container!r}", _missing(container)):
            url = self._url(f"/containers/{container}/update")
            checked(self._api.post(url, json=body, timeout=HANDSHAKE_SECONDS)).close()

    def put_archive(self, container: str, path: str, chunks: Iterable[bytes]) -> None:
        """Unpack a tar stream at ``path`` in a container (a created one will do)."""
        upload = Upload(chunks)
        with self._translating(f"unpacking at {path!r}", _missing(container), upload):
            self._api.put_archive(container, path, upload)

    def get_archive(self, container: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream ``path`` of a container as a tar."""
        return self._download(
            f"archive of {path!r}",
            f"/containers/{container}/archive",
            params={"path": path},
            on=_missing(container),
        )


def _missing(container: str) -> dict[str, RuntimeEngineError]:
    return {"no such container": ContainerNotFoundError(container)}
