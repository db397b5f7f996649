"""Which sources are looked at, from the setting ``PODFERRY_NOTICES``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.notices.clouds import AwsSource, AzureSource, GcpSource
from workers.notices.local import CommandSource, FileSource
from workers.notices.metadata import MetadataService
from workers.notices.models import Source

CLOUDS: dict[str, Callable[[MetadataService], Source]] = {
    "aws": AwsSource,
    "gcp": GcpSource,
    "azure": AzureSource,
}


def parse_names(text: str) -> tuple[str, ...]:
    """``aws,gcp,azure,file:/PATH,command:/PATH ARGUMENTS``, or a part of it. Raises ValueError."""
    names = tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    for name in names:
        if name not in CLOUDS and not _is_local(name):
            raise ValueError(
                f"unknown source {name!r}: use aws, gcp, azure, file:/PATH or command:/PATH"
            )
    return names


def open_sources(names: Sequence[str], url: str) -> list[Source]:
    """The sources of these names; ``url`` is the metadata service's."""
    return [_open(name, MetadataService(url)) for name in names]


def _open(name: str, service: MetadataService) -> Source:
    kind, _, rest = name.partition(":")
    if kind == "file":
        return FileSource(Path(rest))
    if kind == "command":
        return CommandSource(rest)
    return CLOUDS[name](service)


def _is_local(name: str) -> bool:
    kind, _, rest = name.partition(":")
    if kind == "command":
        return bool(shlex.split(rest)) and rest.startswith("/")
    return kind == "file" and rest.startswith("/")
