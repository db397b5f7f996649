"""Where metrics are served, as people write it."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

LOOPBACK = "127.0.0.1"


class Address(NamedTuple):
    """An address of this machine, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """``PORT`` on loopback, ``IP:PORT`` or ``[IP]:PORT``. Raises ValueError."""
    host, _, port = text.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.strip("[]"))) if host else LOOPBACK
    except ValueError:
        address = ""
    if not address or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"it must be PORT, IP:PORT or [IP]:PORT, as 127.0.0.1:9464; not {text!r}")
    return Address(address, int(port))
