"""The reader that docs/archives.md shows, run as it stands there on what is written here."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage import ArchiveStore, CheckpointManifest, KeyFile, open_objects
from tests.acceptance.console import blocks
from tests.unit.storage.chains import store_chain, tar_of
from tests.unit.storage.samples import noise, store_checkpoint

DOCUMENT = Path(__file__).parents[3] / "docs" / "archives.md"
RAW = noise(3_000_000) + bytes(4_000_000)


@pytest.fixture
def stored(tmp_path: Path) -> CheckpointManifest:
    keys = KeyFile(tmp_path / "keys.json")
    keys.create()
    objects = open_objects((tmp_path / "store").as_uri())
    archive = store_checkpoint(ArchiveStore(objects, keys=keys, part_bytes=2 << 20), data=RAW)
    keys.add()
    return archive


def read(tmp_path: Path, checkpoint_id: str) -> subprocess.CompletedProcess[bytes]:
    [program] = blocks(DOCUMENT, "python")
    words = [sys.executable, "-c", program]
    words += [str(tmp_path / "store"), checkpoint_id, str(tmp_path / "keys.json")]
    return subprocess.run(words, capture_output=True, check=False)


def test_it_reads_a_checkpoint(tmp_path: Path, stored: CheckpointManifest) -> None:
    done = read(tmp_path, stored.id)

    assert done.returncode == 0, done.stderr
    assert done.stdout == RAW


def test_it_reads_an_incremental_one(tmp_path: Path, stored: CheckpointManifest) -> None:
    archives = ArchiveStore(
        open_objects((tmp_path / "store").as_uri()), keys=KeyFile(tmp_path / "keys.json")
    )
    last = store_chain(archives, 3, workload="db")[-1]

    done = read(tmp_path, last.id)

    assert done.returncode == 0, done.stderr
    assert done.stdout == tar_of(2)


def test_it_fails_on_a_damaged_one(tmp_path: Path, stored: CheckpointManifest) -> None:
    part = tmp_path / "store" / stored.archive.prefix / "parts" / "000001"
    part.write_bytes(part.read_bytes()[:-1])

    assert read(tmp_path, stored.id).returncode == 1
