"""Parse what people type for mounts, ports and pairs, as ``podman run`` spells them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import typer

from runtime import Mount, Port
from storage import parse_bytes, parse_duration
from tasks.errors import InvalidRequestError


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
    """``NUMBER[b|k|m|g|t]`` in bytes, powers of 1024; empty is 0. Raises InvalidRequestError."""
    try:
        return parse_bytes(text) if text else 0
    except ValueError as error:
        raise InvalidRequestError(f"{option} wants NUMBER[b|k|m|g|t], not {text!r}") from error


def parse_seconds(text: str) -> float:
    """A number of seconds, or ``90s``, ``10m``, ``2h`` …; at least one. Raises BadParameter."""
    try:
        found = float(text) if text.replace(".", "", 1).isdigit() else None
        found = parse_duration(text).total_seconds() if found is None else found
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if found < 1:
        raise typer.BadParameter(f"{text} is less than a second")
    return found


def parse_age(option: str, text: str) -> timedelta | None:
    """``7d``, ``12h`` …; empty is None. Raises InvalidRequestError."""
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise InvalidRequestError(f"{option}: {error}") from error
