"""What is done in the network of a host, and in which order; the kernel is played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyroute2 import NetlinkError

from runtime import host_network
from runtime.host_network import Apart, forget, let_talk, silence


class Bridge:
    """A bridge with ports that come and go."""

    def __init__(self) -> None:
        self.ports: set[int] = set()
        self.changes: list[tuple[set[int], str]] = []
        self.reachable = True

    def inside(self, socket: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it gives
        return act() if self.reachable else None

    def set_state(self, ports: set[int], state: str) -> bool:
        self.changes.append((set(ports), state))
        return True


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Bridge:
    made = Bridge()
    monkeypatch.setattr(host_network, "_inside", made.inside)
    monkeypatch.setattr(host_network, "_ports", lambda bridges: set(made.ports))
    monkeypatch.setattr(host_network, "_set_state", made.set_state)
    return made


def test_only_who_came_since_the_beginning_is_cut_off_and_each_once(bridge: Bridge) -> None:
    bridge.ports = {1, 2}
    apart = Apart("socket", ["podman1"])
    assert apart.effective
    bridge.ports |= {3}
    apart.block()
    bridge.ports |= {4}
    apart.block()
    apart.block()
    assert bridge.changes == [({3}, "down"), ({4}, "down")]


def test_all_of_them_talk_again_once(bridge: Bridge) -> None:
    apart = Apart("socket", ["podman1"])
    apart.release()
    bridge.ports = {3, 4}
    apart.block()
    apart.release()
    apart.release()
    assert bridge.changes == [({3, 4}, "down"), ({3, 4}, "up")]


def test_without_bridges_nobody_looks(bridge: Bridge) -> None:
    apart = Apart("socket", [])
    bridge.ports = {3}
    apart.block()
    apart.release()
    assert (apart.effective, bridge.changes) == (False, [])


def test_where_the_network_is_out_of_reach_nothing_is_cut_off(bridge: Bridge) -> None:
    bridge.reachable = False
    apart = Apart("socket", ["podman1"])
    apart.block()
    apart.release()
    assert (apart.effective, bridge.changes) == (False, [])


class Tracking:
    """The kernel's table of connections."""

    table: dict[int, list[SimpleNamespace]]
    ended: SimpleNamespace

    def __init__(self, *, nfgen_family: int) -> None:
        self.family = nfgen_family

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def entry(self, command: str, *, tuple_orig: SimpleNamespace) -> None:
        assert command == "del"
        if tuple_orig is self.ended:
            raise NetlinkError(2)
        self.table[self.family].remove(tuple_orig)


def test_connections_from_and_to_the_addresses_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connection(source: str, target: str) -> SimpleNamespace:
        return SimpleNamespace(saddr=source, daddr=target)

    stays, ended = connection("10.0.0.8", "10.0.0.9"), connection("10.0.0.1", "10.0.0.4")
    v4 = [connection("10.0.0.1", "10.0.0.9"), connection("10.0.0.9", "10.0.0.1"), stays, ended]
    v6 = [connection("fd00::1", "fd00::9")]

    class Kernel(Tracking):
        table = {2: v4, 10: v6}  # noqa: RUF012 - one kernel

    Kernel.ended = ended

    def entries(
        tracking: Tracking, family: int, addresses: frozenset[str]
    ) -> Iterator[SimpleNamespace]:
        return (e for e in tracking.table[family] if {e.saddr, e.daddr} & addresses)

    monkeypatch.setattr(host_network, "_inside", lambda socket, act: act())
    monkeypatch.setattr(host_network, "NFCTSocket", Kernel)
    monkeypatch.setattr(host_network, "_entries", entries)
    assert forget("socket", ["10.0.0.1", "fd00::1"]) == 3
    assert (v4, v6) == ([stays, ended], [])


def test_no_address_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_network, "_inside", None)
    assert forget("socket", []) == 0


class Links:
    """Interfaces, each with the queue before it."""

    queues: dict[int, str]

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_links(self) -> list[dict[str, int]]:
        return [{"index": index} for index in self.queues]

    def get_qdiscs(self) -> list[Any]:
        class Discipline(dict[str, Any]):
            def get_attr(self, name: str) -> Any:  # noqa: ANN401 - as the library has it
                return self[name]

        return [Discipline(index=i, TCA_KIND=kind) for i, kind in self.queues.items()]

    def tc(self, command: str, kind: str, index: int) -> None:
        if command == "del" and self.queues[index] != kind:
            raise NetlinkError(2)
        self.queues[index] = kind if command == "replace" else "noqueue"


def test_a_network_is_silenced_and_talks_again_however_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Pod(Links):
        queues = {1: "noqueue", 2: "fq_codel"}  # noqa: RUF012 - one kernel

    monkeypatch.setattr(host_network, "IPRoute", Pod)
    monkeypatch.setattr(host_network, "_in", lambda network, act: act())
    network = Path("/run/netns/pod")
    assert let_talk(network)
    assert Pod.queues == {1: "noqueue", 2: "fq_codel"}
    assert silence(network)
    assert silence(network)
    assert Pod.queues == {1: "blackhole", 2: "blackhole"}
    assert let_talk(network)
    assert let_talk(network)
    assert Pod.queues == {1: "noqueue", 2: "noqueue"}


def test_a_network_that_cannot_be_entered_is_left_alone(tmp_path: Path) -> None:
    assert not silence(tmp_path / "gone")
    (tmp_path / "file").touch()
    assert not silence(tmp_path / "file")
