"""The networks and volumes that a container needs around it, the same on every host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, JsonValue

from runtime import CheckpointRuntime, EngineError, NetworkSpec, PodSpec, RunSpec, VolumeSpec
from tasks.stored import asked

BUILTIN_NETWORKS = {"podman", "bridge"}


def described_networks(
    runtime: CheckpointRuntime, spec: RunSpec | PodSpec
) -> tuple[NetworkSpec, ...]:
    """The container's (or pod's) own networks, as this host has them."""
    return tuple(runtime.network(name) for name in _networks(spec))


def described_volumes(runtime: CheckpointRuntime, spec: RunSpec) -> tuple[VolumeSpec, ...]:
    """The container's volumes, as this host has them."""
    return tuple(runtime.volume(name) for name in _volumes(spec))


def records(specs: Iterable[BaseModel]) -> tuple[dict[str, JsonValue], ...]:
    """How a manifest keeps them."""
    return tuple(map(asked, specs))


def ensure_networks(
    runtime: CheckpointRuntime,
    spec: RunSpec | PodSpec,
    known: Iterable[Mapping[str, JsonValue]] = (),
) -> None:
    """Create the networks that are missing, as the source had them if that is known."""
    as_it_was = {s.name: s for s in map(NetworkSpec.model_validate, known)}
    for name in _networks(spec):
        if not runtime.network_exists(name):
            _create_network(runtime, spec, as_it_was.get(name) or NetworkSpec(name=name))


def ensure_volumes(
    runtime: CheckpointRuntime, spec: RunSpec, known: Iterable[Mapping[str, JsonValue]] = ()
) -> None:
    """Create the named volumes that are missing; one that is there is used as it is."""
    as_it_was = {s.name: s for s in map(VolumeSpec.model_validate, known)}
    for name in _volumes(spec):
        if not runtime.volume_exists(name):
            runtime.create_volume(as_it_was.get(name) or VolumeSpec(name=name))


def _create_network(
    runtime: CheckpointRuntime, spec: RunSpec | PodSpec, network: NetworkSpec
) -> None:
    """Create it with the source's subnets, or with others where these are taken.

    Not if the container has a fixed address there, which would be in none of the others.
    """
    fixed = any(n.name == network.name and n.fixed for n in spec.networks)
    try:
        runtime.create_network(network)
    except EngineError:
        if fixed or not network.subnets:
            raise
        runtime.create_network(network.model_copy(update={"subnets": ()}))


def _networks(spec: RunSpec | PodSpec) -> list[str]:
    return [n.name for n in spec.networks if not n.is_mode and n.name not in BUILTIN_NETWORKS]


def _volumes(spec: RunSpec) -> list[str]:
    return [m.source for m in spec.mounts if m.type == "volume" and m.source]
