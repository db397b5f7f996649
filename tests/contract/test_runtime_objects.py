"""The networks and volumes of every Runtime."""

from __future__ import annotations

import pytest

from runtime import (
    Mount,
    NetworkAttachment,
    NetworkExistsError,
    NetworkInUseError,
    NetworkNotFoundError,
    NetworkSpec,
    Subnet,
    VolumeExistsError,
    VolumeInUseError,
    VolumeNotFoundError,
    VolumeSpec,
)
from tests.contract.conftest import Subject

pytestmark = pytest.mark.contract


def test_networks(subject: Subject) -> None:
    runtime, spec = subject.runtime, NetworkSpec(name="contract-net", labels={"a": "b"})
    assert not runtime.network_exists("contract-net")

    runtime.create_network(spec)
    runtime.create_network(spec)
    assert runtime.network_exists("contract-net")
    with pytest.raises(NetworkExistsError):
        runtime.create_network(NetworkSpec(name="contract-net"))

    attached = (NetworkAttachment(name="contract-net", aliases=("web",)),)
    container = subject.create(networks=attached)
    assert runtime.inspect(container).spec.networks == attached
    with pytest.raises(NetworkNotFoundError):
        subject.create(networks=(NetworkAttachment(name="no-such-net"),))

    with pytest.raises(NetworkInUseError):
        runtime.remove_network("contract-net")
    runtime.remove(container)
    runtime.remove_network("contract-net")
    runtime.remove_network("contract-net")
    assert not runtime.network_exists("contract-net")


def test_another_host_can_be_given_the_same_network(subject: Subject) -> None:
    runtime = subject.runtime
    subnet = Subnet(
        subnet="10.73.0.0/24",
        gateway="10.73.0.9",
        range_start="10.73.0.100",
        range_end="10.73.0.120",
    )
    spec = NetworkSpec(
        name="contract-copy",
        labels={"a": "b"},
        options={"mtu": "1400"},
        subnets=(subnet, Subnet(subnet="fd00:73::/64", gateway="fd00:73::1")),
        internal=True,
        ipv6=True,
        dns=False,
    )

    runtime.create_network(spec)
    found = runtime.network("contract-copy")
    runtime.remove_network("contract-copy")
    runtime.create_network(found)

    assert found == spec
    assert runtime.network("contract-copy") == spec
    with pytest.raises(NetworkExistsError):
        runtime.create_network(spec.model_copy(update={"options": {"mtu": "1300"}}))
    runtime.remove_network("contract-copy")
    with pytest.raises(NetworkNotFoundError):
        runtime.network("contract-copy")


def test_another_host_can_be_given_the_same_volume(subject: Subject) -> None:
    runtime = subject.runtime
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=2m,nodev"}
    spec = VolumeSpec(name="contract-copy", labels={"a": "b"}, options=options)

    runtime.create_volume(spec)
    found = runtime.volume("contract-copy")
    runtime.remove_volume("contract-copy")
    runtime.create_volume(found)

    assert found == spec
    assert runtime.volume("contract-copy") == spec
    runtime.remove_volume("contract-copy")
    with pytest.raises(VolumeNotFoundError):
        runtime.volume("contract-copy")


def test_volumes(subject: Subject) -> None:
    runtime, spec = subject.runtime, VolumeSpec(name="contract-vol", labels={"a": "b"})
    assert not runtime.volume_exists("contract-vol")

    runtime.create_volume(spec)
    runtime.create_volume(spec)
    assert runtime.volume_exists("contract-vol")
    with pytest.raises(VolumeExistsError):
        runtime.create_volume(VolumeSpec(name="contract-vol"))

    mount = Mount(type="volume", source="contract-vol", target="/data", read_only=True)
    container = subject.create(mounts=(mount,))
    assert runtime.inspect(container).spec.mounts == (mount,)
    assert runtime.volume_users("contract-vol") == (container,)
    with pytest.raises(VolumeInUseError):
        runtime.remove_volume("contract-vol")

    runtime.remove(container)
    assert runtime.volume_users("contract-vol") == ()
    runtime.remove_volume("contract-vol")
    runtime.remove_volume("contract-vol")
    assert not runtime.volume_exists("contract-vol")


def test_an_anonymous_volume_goes_with_its_container(subject: Subject) -> None:
    container = subject.create(mounts=(Mount(type="volume", target="/data"),))
    (name,) = subject.runtime.inspect(container).volumes
    assert subject.runtime.volume_exists(name)

    subject.runtime.remove(container, volumes=True)

    assert not subject.runtime.volume_exists(name)
