"""Compressing and encrypting a file and back, by Podferry and by what one would type."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from storage import Archive, ArchiveStore, Key, StaticKeyring, new_archive_prefix, open_objects
from tasks.models import now
from tests.bench.files import chunks, directory, mixed_file, random_file, write
from tests.bench.progress import say
from tests.bench.records import OURS, Timed, Works
from tests.bench.timing import in_turn, timed

FILES: dict[str, Callable[[Path, int], None]] = {"random": random_file, "half text": mixed_file}


class Codec(Protocol):
    """Encodes a file, then decodes what it made of it."""

    def encode(self, file: Path) -> None:
        """Encode it to somewhere below its directory."""

    def decode(self, file: Path) -> None:
        """Decode what was encoded last into this file."""


class Ours:
    """An archive in a local directory."""

    def __init__(self, place: Path) -> None:
        self._place = place / "archives"
        key = Key(id="bench", created=now(), secret=secrets.token_bytes(32))
        objects = open_objects(f"file://{self._place}")
        self._archives = ArchiveStore(objects, keys=StaticKeyring(key))
        self._written: Archive | None = None

    def encode(self, file: Path) -> None:
        """See Codec."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        self._written = self._archives.write(new_archive_prefix("contexts/bench"), chunks(file))

    def decode(self, file: Path) -> None:
        """See Codec."""
        if self._written is not None:
            write(file, self._archives.read(self._written))


class CommandLine:
    """Shell pipelines from $in to $out."""

    def __init__(self, place: Path, encode: str, decode: str) -> None:
        self._encoded = place / "encoded"
        self._encode, self._decode = encode, decode
        self._environment = {**os.environ, "PASSWORD": secrets.token_hex(16)}

    def encode(self, file: Path) -> None:
        """See Codec."""
        self._run(self._encode, file, self._encoded)

    def decode(self, file: Path) -> None:
        """See Codec."""
        self._run(self._decode, self._encoded, file)

    def _run(self, command: str, source: Path, target: Path) -> None:
        with source.open("rb") as data, target.open("wb") as output:
            words = ["bash", "-c", f"set -o pipefail; {command}"]
            subprocess.run(words, check=True, stdin=data, stdout=output, env=self._environment)


def measure(mib: int, runs: int) -> Works:
    """Seconds of every tool's encoding and decoding, of both kinds of file."""
    cipher = "openssl enc -aes-256-ctr -pbkdf2 -pass env:PASSWORD"
    works: Works = {}
    with directory(4 * mib) as place:
        tools: dict[str, Codec] = {
            OURS: Ours(place),
            "zstd": CommandLine(place, "zstd -qT0", "zstd -qd"),
            "zstd, openssl": CommandLine(place, f"zstd -qT0 | {cipher}", f"{cipher} -d | zstd -qd"),
        }
        random_file(place / "source", 1)
        for tool in tools.values():  # what is done once is not what is compared
            tool.encode(place / "source")
            tool.decode(place / "back")
        for kind, make in FILES.items():
            make(place / "source", mib)
            works |= _measure(tools, place, kind, mib, runs)
    return works


def _measure(tools: dict[str, Codec], place: Path, kind: str, mib: int, runs: int) -> Works:
    source, back = place / "source", place / "back"
    encoding: dict[str, list[float]] = {name: [] for name in tools}
    decoding: dict[str, list[float]] = {name: [] for name in tools}
    for number, name in in_turn(list(tools), runs):
        encoding[name].append(timed(tools[name].encode, source))
        decoding[name].append(timed(tools[name].decode, back))
        if not filecmp.cmp(source, back, shallow=False):
            raise AssertionError(f"{name} did not bring back what it was given")
        say(f"codec, {mib} MiB {kind}, run {number}, {name}: {encoding[name][-1]:.2f} s")
    return {
        f"encode {kind}": {n: Timed(mib=mib, seconds=tuple(s)) for n, s in encoding.items()},
        f"decode {kind}": {n: Timed(mib=mib, seconds=tuple(s)) for n, s in decoding.items()},
    }
