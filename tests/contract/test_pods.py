"""What every CheckpointRuntime must do with pods."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from runtime import (
    Dns,
    NetworkAttachment,
    NetworkSpec,
    PodExistsError,
    PodNotFoundError,
    PodSpec,
    Port,
    RestartPolicy,
    Subnet,
)
from tests.contract.conftest import Subject

pytestmark = pytest.mark.contract


@pytest.fixture
def network(subject: Subject) -> Iterator[str]:
    """A network of the engine."""
    name = f"net-{uuid4().hex[:8]}"
    subnet = Subnet(subnet="10.66.7.0/24")
    subject.runtime.create_network(NetworkSpec(name=name, subnets=(subnet,)))
    yield name
    subject.runtime.remove_network(name)


@pytest.fixture
def name(subject: Subject) -> Iterator[str]:
    """The name of a pod that is gone after the test."""
    chosen = f"pod-{uuid4().hex[:8]}"
    yield chosen
    subject.runtime.remove_pod(chosen)


@pytest.fixture
def spec(network: str, name: str) -> PodSpec:
    """A pod with everything that a spec can say."""
    return PodSpec(
        name=name,
        labels={"tier": "shop"},
        share=("ipc", "net", "uts"),
        hostname="shop",
        infra_name=f"{name}-shop-infra",
        exit_policy="stop",
        restart=RestartPolicy(name="on-failure", max_retries=3),
        ports=(
            Port(container_port=53, host_port=18053, host_ip="127.0.0.1", protocol="udp"),
            Port(container_port=80, host_port=18080),
        ),
        networks=(
            NetworkAttachment(
                name=network, aliases=("alias",), ipv4="10.66.7.9", mac="aa:bb:cc:dd:ee:01"
            ),
        ),
        dns=Dns(servers=("192.0.2.1",), search=("example.org",), options=("ndots:3",)),
        extra_hosts={"other": "192.0.2.2"},
        shm_bytes=10 << 20,
    )


def test_a_pod_is_described_as_it_was_made(subject: Subject, spec: PodSpec) -> None:
    runtime = subject.runtime
    runtime.create_pod(spec)
    runtime.hold_pod(spec.name)  # which starts it: only then has it addresses
    made = runtime.pod(spec.name)
    assert made.spec == spec
    assert (made.members, made.unsupported, made.system_v) == ((), (), False)
    assert made.infra
    assert runtime.pod(made.id) == made
    assert made.spec.addresses == ("10.66.7.9",)


def test_a_pod_can_be_left_to_the_engine(subject: Subject, name: str) -> None:
    subject.runtime.create_pod(PodSpec(name=name))
    made = subject.runtime.pod(name)
    anew = made.spec.model_copy(update={"networks": ()})
    assert (anew, made.unsupported) == (PodSpec(name=name), ())


def test_a_pod_may_share_nothing(subject: Subject, name: str) -> None:
    subject.runtime.create_pod(PodSpec(name=name, share=()))
    assert subject.runtime.pod(name).spec == PodSpec(name=name, share=())


def test_a_pod_is_held_and_released_any_number_of_times(subject: Subject, name: str) -> None:
    runtime = subject.runtime
    runtime.create_pod(PodSpec(name=name))
    for change in (runtime.hold_pod, runtime.release_pod):
        change(name)
        change(name)
    runtime.hold_pod(name)
    runtime.remove_pod(name)
    assert not runtime.pod_exists(name)


def test_no_two_pods_have_the_same_name(subject: Subject, name: str) -> None:
    subject.runtime.create_pod(PodSpec(name=name))
    with pytest.raises(PodExistsError, match=name):
        subject.runtime.create_pod(PodSpec(name=name))
    subject.create(name=name)  # a container's name is another matter


def test_a_pod_that_is_absent(subject: Subject, name: str) -> None:
    runtime = subject.runtime
    assert not runtime.pod_exists(name)
    runtime.remove_pod(name)
    for ask in (runtime.pod, runtime.hold_pod, runtime.release_pod):
        with pytest.raises(PodNotFoundError, match=name):
            ask(name)


def test_no_container_of_a_pod_is_no_pod_s_member(subject: Subject, name: str) -> None:
    subject.runtime.create_pod(PodSpec(name=name))
    subject.runtime.hold_pod(name)
    listed = [c for c in subject.runtime.containers() if c.pod == name]
    assert all(container.infra for container in listed)
    container = subject.start()
    assert subject.runtime.inspect(container).pod == ""
    assert subject.runtime.container_facts(container).pod == ""
