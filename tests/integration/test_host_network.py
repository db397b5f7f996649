"""The network of a real host, as a restore changes it for a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from runtime import NetworkAttachment, NetworkSpec, PodmanRuntime, Subnet
from tests.fleet import Fleet, Workload, eventually

pytestmark = pytest.mark.integration
ANSWERS = ("sh", "-c", "exec nc -ll -p 7000 -e echo hello")


@pytest.fixture
def runtime(fleet: Fleet) -> PodmanRuntime:
    """Host a's engine."""
    return fleet.runtime("a")


@pytest.fixture
def network(runtime: PodmanRuntime) -> Iterator[str]:
    """A network on it, gone after its containers."""
    name, subnet = "apart", Subnet(subnet="10.66.9.0/24")
    runtime.create_network(NetworkSpec(name=name, subnets=(subnet,)))
    yield name
    runtime.remove_network(name)


@pytest.fixture
def server(
    runtime: PodmanRuntime, network: str, new_workload: Callable[[str], Workload]
) -> Workload:
    """A container there that says hello."""
    made = new_workload("server")
    attached = NetworkAttachment(name=network, ipv4="10.66.9.9")
    runtime.start(runtime.run(made.spec(command=ANSWERS, networks=(attached,))))
    return made


def client_of(
    runtime: PodmanRuntime, network: str, new_workload: Callable[[str], Workload]
) -> Workload:
    """Another container there."""
    made = new_workload("client")
    attached = NetworkAttachment(name=network, ipv4="10.66.9.10")
    runtime.start(runtime.run(made.spec(command=("sleep", "1000000"), networks=(attached,))))
    return made


def hears(runtime: PodmanRuntime, client: Workload) -> bool:
    """Whether the client reaches the server."""
    words = ["sh", "-c", "nc -w 2 10.66.9.9 7000 </dev/null"]
    return runtime.exec(client.name, words).output == b"hello\n"


@pytest.mark.usefixtures("server")
def test_who_comes_is_cut_off_until_all_are_there(
    runtime: PodmanRuntime, network: str, new_workload: Callable[[str], Workload]
) -> None:
    early = client_of(runtime, network, new_workload)
    eventually(lambda: hears(runtime, early), "the server is silent")
    runtime.remove(early.name, force=True)

    with runtime.kept_apart([network]) as cut_off:
        late = client_of(runtime, network, new_workload)
        assert hears(runtime, late)
        cut_off()
        assert not hears(runtime, late)

    eventually(lambda: hears(runtime, late), "it was not let go")


def test_a_tracked_connection_is_forgotten(
    runtime: PodmanRuntime, network: str, new_workload: Callable[[str], Workload]
) -> None:
    client = client_of(runtime, network, new_workload)
    # to the host's own end of the network: what stays on the bridge is not tracked everywhere
    client.sh("a", "echo x | nc -u -w 1 10.66.9.1 9 || true")

    assert runtime.forget_connections(["10.66.9.10"]) > 0
    assert runtime.forget_connections(["10.66.9.10"]) == 0
