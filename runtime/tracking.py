"""The host's connection tracking, which remembers connections of containers that have left.

Podman's firewall drops packets that tracking calls invalid. To a connection that left this host and
comes back, the memory of how far it was then makes every packet invalid: it would hang for ever.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from pyroute2 import NetlinkError, NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple
from pyroute2.netns import setns

from runtime.host import listener


def forget(socket: str, addresses: Iterable[str]) -> int:
    """Make tracking forget the connections from and to these addresses; say how many it knew.

    It is asked in the network of the process that listens on ``socket``. Where this process may
    not do that, or the kernel tracks nothing, none is forgotten.
    """
    wanted = frozenset(addresses)
    process = listener(socket)
    if not wanted or not process:
        return 0
    # In a thread of its own, which alone changes its network namespace, and ends.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(_forget, process, wanted).result()


def _forget(process: int, addresses: frozenset[str]) -> int:
    forgotten = 0
    with suppress(OSError, NetlinkError):
        _enter(Path(f"/proc/{process}/ns/net"))
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


def _enter(namespace: Path) -> None:
    if not namespace.samefile("/proc/self/ns/net"):
        with namespace.open("rb") as opened:
            setns(opened.fileno())


def _family(address: str) -> int:
    return sockets.AF_INET if ip_address(address).version == 4 else sockets.AF_INET6
