"""Parse what people type for mounts, ports and pairs, as ``podman run`` spells them."""

from __future__ import annotations

from collections.abc import Sequence

from runtime import Mount, Port
from tasks.errors import InvalidRequestError

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` pairs. Raises InvalidRequestError, which never repeats the value."""
    pairs = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise InvalidRequestError(f"{option} wants KEY=VALUE, not {key!r}")
        pairs[key] = value
    return pairs


def parse_mount(text: str) -> Mount:
    """``SOURCE:TARGET[:ro]``; a source with a slash is a host path. Raises InvalidRequestError."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in {"", "ro", "rw"}:
        raise InvalidRequestError(f"--volume wants SOURCE:/TARGET[:ro], not {text!r}")
    return Mount(
        type="bind" if "/" in source else "volume",
        source=source,
        target=target,
        read_only=mode == "ro",
    )


def parse_port(text: str) -> Port:
    """``[IP:]HOST:CONTAINER[/PROTOCOL]``. Raises InvalidRequestError."""
    address, _, protocol = text.partition("/")
    host_ip, _, ports = address.rpartition(":")
    host_ip, _, host_port = host_ip.rpartition(":")
    if not host_port.isdecimal() or not ports.isdecimal():
        raise InvalidRequestError(f"--publish wants [IP:]HOST:CONTAINER[/PROTOCOL], not {text!r}")
    return Port.model_validate(
        {
            "container_port": ports,
            "host_port": host_port,
            "host_ip": host_ip.strip("[]"),
            "protocol": protocol or "tcp",
        }
    )


def parse_size(option: str, text: str) -> int:
    """``NUMBER[b|k|m|g]`` in bytes, powers of 1024; empty is 0. Raises InvalidRequestError."""
    number, unit = text.lower().rstrip("bkmg"), text.lower().lstrip("0123456789")
    if text and (not number.isdecimal() or unit not in _UNITS):
        raise InvalidRequestError(f"{option} wants NUMBER[b|k|m|g], not {text!r}")
    return int(number or 0) * _UNITS[unit]
