"""Pods of a Podman host.

Podman 5.4 locks a pod and then each of its containers to describe the pod, and a container and then
its pod to export a checkpoint: who asks for the one during the other stops that pod's containers,
and every list of them, for good. So a pod is described before a checkpoint only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime import host_network
from runtime.errors import (
    ContainerNotFoundError,
    PodExistsError,
    PodInUseError,
    PodNotFoundError,
)
from runtime.host import file_of_engine
from runtime.libpod import LibpodClient
from runtime.pod_specs import PodInfo, PodSpec
from runtime.pods import pod_body, pod_info
from runtime.preflight import machine


class PodmanPods:
    """The pods that libpod's API serves on ``socket``."""

    socket: str
    _libpod: LibpodClient

    def pod(self, name: str) -> PodInfo:
        """Describe a pod by name or id. Raises PodNotFoundError."""
        pod = self._pod(name)
        infra = self._described(pod["InfraContainerID"]) if pod.get("InfraContainerID") else None
        ipc = "ipc" in (pod.get("SharedNamespaces") or ())
        system_v = bool(infra and ipc and machine.system_v_objects(infra["Id"]))
        return pod_info(pod, infra).model_copy(update={"system_v": system_v})

    def pod_exists(self, name: str) -> bool:
        """Tell whether a pod of this name is there."""
        path, operation = f"/pods/{name}/exists", f"look for pod {name!r}"
        missing = {"no such pod": PodNotFoundError(name)}
        try:
            with self._libpod.request("GET", path, operation=operation, on=missing):
                return True
        except PodNotFoundError:
            return False

    def create_pod(self, spec: PodSpec) -> None:
        """Create a pod, not started. Raises PodExistsError."""
        taken = PodExistsError(spec.name)
        self._libpod.json(
            "/pods/create",
            method="POST",
            operation=f"creation of pod {spec.name!r}",
            body=pod_body(spec),
            on={"already exists": taken, "already in use": taken},
        )

    def remove_pod(self, name: str) -> None:
        """Remove a pod that is empty; see CheckpointRuntime."""
        try:
            found = self.pod(name)
        except PodNotFoundError:
            return
        if found.members:
            raise PodInUseError(name, found.members)
        request = self._libpod.request(
            "DELETE",
            f"/pods/{found.id}",
            operation=f"removal of pod {name!r}",
            params={"force": True, "timeout": 0},
        )
        with request:
            pass

    def hold_pod(self, name: str) -> None:
        """Have a pod run and keep silent; see CheckpointRuntime."""
        if infra := self._infra_of(name):
            self._start(infra)
            if network := self._network(infra):
                host_network.silence(network)

    def release_pod(self, name: str) -> None:
        """Let a pod talk; see CheckpointRuntime."""
        infra = self._infra_of(name)
        if infra and (network := self._network(infra)):
            host_network.let_talk(network)

    def _infra_of(self, name: str) -> str:
        """The id of a pod's infra container, empty if it has none, found without the pod's lock."""
        if not self.pod_exists(name):
            raise PodNotFoundError(name)
        listed = self._libpod.list("/containers/json", all=True)
        of_pod = (e for e in listed if e["IsInfra"] and name in (e["Pod"], e["PodName"]))
        return next((str(entry["Id"]) for entry in of_pod), "")

    def _pod(self, name: str) -> dict[str, Any]:
        missing = {"no such pod": PodNotFoundError(name)}
        return self._libpod.json(f"/pods/{name}/json", operation=f"inspect of {name!r}", on=missing)

    def _described(self, container: str) -> dict[str, Any]:
        path, operation = f"/containers/{container}/json", f"inspect of {container!r}"
        return self._libpod.json(path, operation=operation)

    def _start(self, container: str) -> None:
        """Start one container of a pod and no other; one that runs is no error."""
        path, operation = f"/containers/{container}/start", f"start of {container!r}"
        missing = {"no such container": ContainerNotFoundError(container)}
        with self._libpod.request("POST", path, operation=operation, on=missing):
            pass

    def _network(self, infra: str) -> Path | None:
        """Where the pod's network namespace can be entered; never the host's own."""
        key = self._described(infra)["NetworkSettings"].get("SandboxKey")
        return file_of_engine(self.socket, key) if key else None
