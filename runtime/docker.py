"""The standard surface over a Docker-compatible socket."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress

from docker.errors import NotFound
from urllib3.exceptions import ReadTimeoutError

from runtime.connection import HANDSHAKE_SECONDS
from runtime.creating import create_body, further_networks, require_supported
from runtime.docker_images import DockerImages
from runtime.docker_objects import DockerObjects
from runtime.errors import (
    ContainerExistsError,
    ContainerNotFoundError,
    EngineError,
    ExecFailedError,
    ImageNotFoundError,
    RuntimeEngineError,
)
from runtime.executing import demultiplex, never_started, read_before
from runtime.inspecting import container_info, container_summary, label_filter
from runtime.reaching import CONNECT_SECONDS
from runtime.specs import (
    Capabilities,
    ContainerInfo,
    ContainerSummary,
    ExecResult,
    NetworkAttachment,
    RestartPolicy,
    RunSpec,
)
from runtime.translate import checked
from runtime.upload import Upload


class DockerRuntime(DockerImages, DockerObjects):
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
        known: dict[str, RuntimeEngineError] = {
            "no such image": ImageNotFoundError(spec.image),
            "already in use": ContainerExistsError(spec.name),
        }
        with self._translating(f"creation of {spec.name!r}", known):
            create = self._api.create_container_from_config
            made = create(create_body(spec), spec.name)  # type: ignore[no-untyped-call]  # bare in its stubs
        container = str(made["Id"])
        try:
            for network in further_networks(spec):
                self._join(container, network)
        except RuntimeEngineError:
            self.remove(container, force=True)
            raise
        return container

    def _join(self, container: str, network: NetworkAttachment) -> None:
        with self._translating(f"joining {network.name!r}", _missing(container)):
            self._api.connect_container_to_network(
                container, network.name, aliases=list(network.aliases)
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

    def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        timeout_seconds: float = 60.0,
    ) -> ExecResult:
        """Run a command to its end as the container's user.

        Raises ExecFailedError if it cannot start or does not end in time; in the latter case it
        goes on running: no engine can end one command of a container.
        """
        line = shlex.join(command)
        try:
            with self._translating(f"exec of {line}", _missing(container)):
                session = self._api.exec_create(
                    container,
                    list(command),
                    user=user,
                    environment=dict(env or {}),
                    workdir=workdir or None,
                )["Id"]
                output = self._exec_output(session, timeout_seconds)
                exit_code = self._api.exec_inspect(session)["ExitCode"]
        except EngineError as error:
            raise ExecFailedError(container, line, error.reason) from error
        except TimeoutError as error:
            reason = f"it did not end within {timeout_seconds:g} s"
            raise ExecFailedError(container, line, reason) from error
        if never_started(exit_code, output):
            raise ExecFailedError(container, line, output.decode(errors="replace").strip())
        return ExecResult(exit_code=exit_code, output=output)

    def _exec_output(self, session: str, timeout_seconds: float) -> bytes:
        response = self._api.post(
            self._url(f"/exec/{session}/start"),
            json={"Detach": False, "Tty": False},
            stream=True,
            timeout=(CONNECT_SECONDS, timeout_seconds),
        )
        with closing(checked(response)):
            try:
                return b"".join(demultiplex(read_before(response, timeout_seconds)))
            except ReadTimeoutError as error:
                raise TimeoutError from error

    def inspect(self, container: str) -> ContainerInfo:
        """Describe one container by name or id. Raises ContainerNotFoundError."""
        with self._translating(f"inspect of {container!r}", _missing(container)):
            return container_info(self._api.inspect_container(container))

    def logs(self, container: str, *, tail: int | None = None) -> Iterator[bytes]:
        """Yield what the container wrote so far, in the order it came."""
        tty = self.inspect(container).spec.tty
        params = {"stdout": 1, "stderr": 1, "tail": "all" if tail is None else tail}
        path = f"/containers/{container}/logs"
        with self._download("logs", path, params=params, on=_missing(container)) as chunks:
            yield from chunks if tty else demultiplex(chunks)

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
