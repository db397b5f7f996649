"""Networks and volumes of a Docker-compatible engine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from docker.errors import NotFound

from runtime.connection import EngineConnection
from runtime.errors import EngineError, RuntimeEngineError, VolumeExistsError, VolumeInUseError
from runtime.specs import NetworkSpec, VolumeSpec


class DockerObjects(EngineConnection):
    """The networks and volumes of the standard surface."""

    def create_network(self, spec: NetworkSpec) -> None:
        """Create a bridge network; one of the same name, labels and options is no error."""
        with self._translating(f"creation of network {spec.name!r}"):
            try:
                found = self._api.inspect_network(spec.name)
            except NotFound:
                self._api.create_network(
                    spec.name, driver="bridge", internal=spec.internal, labels=spec.labels
                )
                return
        if (found.get("Labels") or {}, found.get("Internal", False)) != (
            spec.labels,
            spec.internal,
        ):
            raise EngineError(
                f"creation of network {spec.name!r}", "it is there with other labels or options"
            )

    def network_exists(self, name: str) -> bool:
        """Tell whether a network of this name is there."""
        with self._translating(f"inspect of network {name!r}"):
            try:
                self._api.inspect_network(name)
            except NotFound:
                return False
            return True

    def remove_network(self, name: str) -> None:
        """Remove a network; one that is absent is no error."""
        with self._translating(f"removal of network {name!r}"), suppress(NotFound):
            self._api.remove_network(name)

    def create_volume(self, spec: VolumeSpec) -> None:
        """Create a local volume; one of the same labels is no error, else VolumeExistsError."""
        with self._translating(f"creation of volume {spec.name!r}"):
            try:
                found = self._api.inspect_volume(spec.name)
            except NotFound:
                self._api.create_volume(spec.name, labels=spec.labels)
                return
        if (found.get("Labels") or {}) != spec.labels:
            raise VolumeExistsError(spec.name)

    def volume_exists(self, name: str) -> bool:
        """Tell whether a volume of this name is there."""
        with self._translating(f"inspect of volume {name!r}"):
            try:
                self._api.inspect_volume(name)
            except NotFound:
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
