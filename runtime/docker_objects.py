"""Networks and volumes of a Docker-compatible engine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from docker.errors import NotFound

from runtime.connection import EngineConnection
from runtime.errors import (
    NetworkExistsError,
    NetworkInUseError,
    NetworkNotFoundError,
    RuntimeEngineError,
    VolumeExistsError,
    VolumeInUseError,
    VolumeNotFoundError,
)
from runtime.object_answers import docker_network_body
from runtime.specs import NetworkSpec, VolumeSpec


class DockerObjects(EngineConnection):
    """The networks and volumes of the standard surface."""

    def create_network(self, spec: NetworkSpec) -> None:
        """Create a network; one that has the labels and options asked for is no error.

        Raises NetworkExistsError for any other of that name, UnsupportedOptionError.
        """
        try:
            found = self.network(spec.name)
        except NetworkNotFoundError:
            self._make_network(spec)
            return
        if not spec.satisfied_by(found):
            raise NetworkExistsError(spec.name)

    def _make_network(self, spec: NetworkSpec) -> None:
        body = docker_network_body(spec)
        with self._translating(f"creation of network {spec.name!r}"):
            self._api.create_network(**body)

    def network(self, name: str) -> NetworkSpec:
        """Describe a network, so that another host can be given the same."""
        known = {"not found": NetworkNotFoundError(name)}
        with self._translating(f"inspect of network {name!r}", known):
            return NetworkSpec.from_inspect(self._api.inspect_network(name))

    def network_exists(self, name: str) -> bool:
        """Tell whether a network of this name is there."""
        try:
            self.network(name)
        except NetworkNotFoundError:
            return False
        return True

    def remove_network(self, name: str) -> None:
        """Remove a network; one that is absent is no error. Raises NetworkInUseError."""
        in_use = NetworkInUseError(name)
        on: dict[str, RuntimeEngineError] = {
            "is being used": in_use,
            "has active endpoints": in_use,
            "associated containers": in_use,
        }
        with self._translating(f"removal of network {name!r}", on), suppress(NotFound):
            self._api.remove_network(name)

    def create_volume(self, spec: VolumeSpec) -> None:
        """Create a volume; one that has the labels, driver and options asked for is no error.

        Raises VolumeExistsError for any other of that name.
        """
        try:
            found = self.volume(spec.name)
        except VolumeNotFoundError:
            with self._translating(f"creation of volume {spec.name!r}"):
                self._api.create_volume(
                    spec.name, driver=spec.driver, driver_opts=spec.options, labels=spec.labels
                )
            return
        if found != spec:
            raise VolumeExistsError(spec.name)

    def volume(self, name: str) -> VolumeSpec:
        """Describe a volume, so that another host can be given the same."""
        known = {"no such volume": VolumeNotFoundError(name)}
        with self._translating(f"inspect of volume {name!r}", known):
            return VolumeSpec.from_inspect(self._api.inspect_volume(name))

    def volume_exists(self, name: str) -> bool:
        """Tell whether a volume of this name is there."""
        try:
            self.volume(name)
        except VolumeNotFoundError:
            return False
        return True

    def volume_users(self, name: str) -> tuple[str, ...]:
        """Ids of the containers, running or not, that mount the volume."""
        with self._translating(f"list of users of volume {name!r}"):
            found = self._api.containers(all=True, filters={"volume": [name]})
        return tuple(entry["Id"] for entry in found if _mounts_volume(entry, name))

    def remove_volume(self, name: str) -> None:
        """Remove a volume; an absent one is no error. Raises VolumeInUseError."""
        in_use = VolumeInUseError(name)
        on: dict[str, RuntimeEngineError] = {"is being used": in_use, "is in use": in_use}
        with self._translating(f"removal of volume {name!r}", on), suppress(NotFound):
            self._api.remove_volume(name)


def _mounts_volume(entry: Mapping[str, Any], name: str) -> bool:
    """Tell a volume's name from a mount point that is spelled like it; the filter takes both."""
    return any(mount.get("Name") == name for mount in entry.get("Mounts") or ())
