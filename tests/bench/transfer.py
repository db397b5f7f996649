"""Upload and download of a file, by Podferry and by plain tools, from inside a host's network.

usage: python -m tests.bench.transfer DIRECTORY MIB RUNS

Prints the times as JSON. Files lie in DIRECTORY. The store is the one that the environment names.
"""

from __future__ import annotations

import filecmp
import itertools
import os
import sys
from pathlib import Path

from pydantic import TypeAdapter

from storage import Archive, ArchiveStore, new_archive_prefix
from tests.bench.files import chunks, provide_memory, random_file, write
from tests.bench.progress import say
from tests.bench.records import OURS, Timed, Works
from tests.bench.s3_tools import Copier, Mc, Sdk, Store
from tests.bench.timing import in_turn, timed
from workers.settings import load_settings

KEY = "bench/transfer"
WORKS = TypeAdapter(Works)


class Ours:
    """Archives, as the workers write and read them."""

    def __init__(self, archives: ArchiveStore) -> None:
        self._archives = archives
        self._numbers = itertools.count()
        self._written: dict[str, Archive] = {}

    def put(self, file: Path, key: str) -> None:
        """See Copier."""
        prefix = new_archive_prefix(f"{key}-{next(self._numbers)}")
        self._written[key] = self._archives.write(prefix, chunks(file))

    def get(self, key: str, file: Path) -> None:
        """See Copier."""
        write(file, self._archives.read(self._written[key]))


def measure(directory: Path, mib: int, runs: int) -> Works:
    """Seconds of every tool's uploads and downloads; what comes back is compared."""
    store = Store.named()
    tools: dict[str, Copier] = {
        OURS: Ours(load_settings().archives()),
        "mc": Mc(store),
        "boto3": Sdk(store),
    }
    source, back = directory / "source", directory / "back"
    random_file(source, 1)
    for tool in tools.values():  # as a worker, which has connected long ago
        tool.put(source, KEY)
        tool.get(KEY, back)
        store.delete(*store.sizes(KEY))
    random_file(source, mib)
    uploads: dict[str, list[float]] = {name: [] for name in tools}
    downloads: dict[str, list[float]] = {name: [] for name in tools}
    for number, name in in_turn(list(tools), runs):
        uploads[name].append(timed(tools[name].put, source, KEY))
        os.sync()  # or the next one shares the disk with what this one wrote
        back.unlink()
        provide_memory(mib)
        downloads[name].append(timed(tools[name].get, KEY, back))
        if not filecmp.cmp(source, back, shallow=False):
            raise AssertionError(f"{name} did not bring back what it was given")
        store.delete(*store.sizes(KEY))
        os.sync()
        took = f"{uploads[name][-1]:.2f} s up, {downloads[name][-1]:.2f} s down"
        say(f"transfer, {mib} MiB, run {number}, {name}: {took}")
    return {"upload": _timed(mib, uploads), "download": _timed(mib, downloads)}


def _timed(mib: int, seconds: dict[str, list[float]]) -> dict[str, Timed]:
    return {name: Timed(mib=mib, seconds=tuple(runs)) for name, runs in seconds.items()}


def main(words: list[str]) -> None:
    """Do what the command line says."""
    if len(words) != 3:
        sys.exit(__doc__)
    directory, mib, runs = words
    print(WORKS.dump_json(measure(Path(directory), int(mib), int(runs))).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
