"""The network of the engine's host, where Podman's bridges and its firewall are, and of pods.

Two things there break a connection between containers that are restored. A packet for one that has
its address already but not yet its sockets is answered with a reset: so what is restored first is
kept apart until all are there. And Podman's firewall drops what connection tracking calls invalid,
which is every packet of a connection that left this host earlier and comes back: so tracking is
made to forget it.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, TypeVar

from pyroute2 import IPRoute, NetlinkError, NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple
from pyroute2.netns import setns

from runtime.host import network_of_engine

UpDown = Literal["up", "down"]
Done = TypeVar("Done")


class Apart:
    """Containers that are kept from reaching anybody through their bridges, until ``release``.

    Their cables are pulled at the host's end: addresses, routes and connections outlive that.

    ``bridges`` are interfaces' names. Where this process may not change the host's network, nothing
    is kept apart, and ``effective`` is False.
    """

    def __init__(self, socket: str, bridges: Iterable[str], *, everyone: bool = False) -> None:
        self._socket = socket
        self._bridges = frozenset(bridges)
        self._blocked: set[int] = set()
        before = self._ports()
        self.effective = before is not None
        self._before = set() if everyone else before or set()
        if everyone:
            self.block()

    def block(self) -> None:
        """Cut off whoever came to the bridges since the beginning, or ``everyone`` there is."""
        new = (self._ports() or set()) - self._before - self._blocked
        if new and self._set(new, "down"):
            self._blocked |= new

    def release(self) -> None:
        """Let them all talk."""
        if self._blocked:
            self._set(self._blocked, "up")
            self._blocked.clear()

    def _ports(self) -> set[int] | None:
        return _inside(self._socket, lambda: _ports(self._bridges)) if self._bridges else None

    def _set(self, ports: set[int], state: UpDown) -> bool:
        return _inside(self._socket, lambda: _set_state(ports, state)) is not None


def forget(socket: str, addresses: Iterable[str]) -> int:
    """Make tracking forget the connections from and to these addresses; say how many it knew.

    Where this process may not do that, or the kernel tracks nothing, none is forgotten.
    """
    wanted = frozenset(addresses)
    return (_inside(socket, lambda: _forget(wanted)) or 0) if wanted else 0


def silence(network: Path) -> bool:
    """Have nothing leave any interface of this network namespace; say whether that worked.

    What is sent is dropped, and sent again later: connections outlive that, within it as well.
    """
    return _in(network, lambda: _send_through("blackhole")) is not None


def let_talk(network: Path) -> bool:
    """Undo ``silence``; a network that was not silenced is left as it is."""
    return _in(network, lambda: _send_through("")) is not None


def _send_through(queue: str) -> bool:
    """Put a queue of this kind before every interface, or take the one away that drops all."""
    with IPRoute() as links:
        silent = {
            discipline["index"]
            for discipline in links.get_qdiscs()
            if discipline.get_attr("TCA_KIND") == "blackhole"
        }
        every = {link["index"] for link in links.get_links()}
        for index in every - silent if queue else silent:
            links.tc("replace" if queue else "del", queue or "blackhole", index)
    return True


def _inside(socket: str, act: Callable[[], Done]) -> Done | None:
    """Do it in the network of the engine that listens on ``socket``; None if that cannot be."""
    return _in(network_of_engine(socket), act)


def _in(network: Path | None, act: Callable[[], Done]) -> Done | None:
    """Do it in a network namespace; None if that cannot be.

    In a thread of its own, which alone changes its network namespace, and ends.
    """

    def work() -> Done | None:
        with suppress(OSError, NetlinkError):
            if network is not None:
                with network.open("rb") as namespace:
                    setns(namespace.fileno())
                return act()
        return None

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


def _ports(bridges: frozenset[str]) -> set[int]:
    with IPRoute() as links:
        found = list(links.get_links())
    masters = {link["index"] for link in found if link.get_attr("IFLA_IFNAME") in bridges}
    return {link["index"] for link in found if link.get_attr("IFLA_MASTER") in masters}


def _set_state(ports: set[int], state: UpDown) -> bool:
    with IPRoute() as links:
        for port in ports:
            with suppress(NetlinkError):  # the port went away
                links.link("set", index=port, state=state)
    return True


def _forget(addresses: frozenset[str]) -> int:
    forgotten = 0
    for family in {_family(address) for address in addresses}:
        with NFCTSocket(nfgen_family=family) as tracking:
            for entry in list(_entries(tracking, family, addresses)):
                with suppress(NetlinkError):  # it ended just now
                    tracking.entry("del", tuple_orig=entry)
                    forgotten += 1
    return forgotten


def _entries(
    tracking: NFCTSocket, family: int, addresses: frozenset[str]
) -> Iterator[NFCTAttrTuple]:
    for message in tracking.dump():
        if message["nfgen_family"] == family:
            entry = NFCTAttrTuple.from_netlink(family, message.get_attr("CTA_TUPLE_ORIG"))
            if {entry.saddr, entry.daddr} & addresses:
                yield entry


def _family(address: str) -> int:
    return sockets.AF_INET if ip_address(address).version == 4 else sockets.AF_INET6
