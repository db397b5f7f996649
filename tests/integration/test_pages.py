"""Incremental checkpoints of a real process, from real CRIU images."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import zstandard

from runtime import BuildSpec, CheckpointSpec, PodmanRuntime, RestoreSpec, RunSpec, build_context
from storage.objects import Blob
from storage.pages import PageIndex, ParentIndex, encode_delta, rebuild, record_pages
from tests.contract.conftest import busybox_of, wait_for, write_context
from tests.lab import lab

pytestmark = pytest.mark.integration

KEY = bytes(range(32))
IMAGE = "localhost/integration/dirtying:1"
NAME = "dirtying"
MEMORY_MIB = 128
CHANGED_PER_THOUSAND = 50
CHUNK_BYTES = 1 << 20
SOURCE = Path(__file__).with_name("dirtying.c")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[PodmanRuntime]:
    """A host with an image whose process changes its memory when it gets a signal."""
    with lab(["a"]) as made:
        context = write_context(tmp_path, busybox_of(made, "a"))
        program = context / NAME
        subprocess.run(["gcc", "-static", "-O2", "-o", str(program), str(SOURCE)], check=True)
        with (context / "Containerfile").open("a") as file:
            file.write(f"COPY {NAME} /bin/{NAME}\n")
        runtime = PodmanRuntime(made.socket("a"))
        runtime.build(BuildSpec(tag=IMAGE), build_context(context), on_log=lambda _: None)
        yield runtime
        runtime.close()


def state(runtime: PodmanRuntime, rounds: int) -> str:
    """The sum of its memory after so many changes."""

    def line() -> str:
        done = runtime.exec(NAME, ["cat", "/state"])
        words = done.output.decode().split() if done.exit_code == 0 else []
        return words[1] if words and int(words[0]) == rounds else ""

    return wait_for(line, f"the memory after {rounds} changes")


def take(runtime: PodmanRuntime, tar: Path) -> None:
    with runtime.checkpoint(NAME, CheckpointSpec(leave_running=True)) as chunks:
        write(tar, chunks)


def write(path: Path, chunks: Iterable[Blob]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def compressed_bytes(path: Path) -> int:
    return sum(len(zstandard.compress(chunk, 1)) for chunk in read(path))


def test_only_changed_pages_are_kept_and_the_process_comes_back(
    runtime: PodmanRuntime, tmp_path: Path
) -> None:
    full, index, tars, deltas = tmp_path / "full", tmp_path / "index", [], list[Path]()
    command = (NAME, str(MEMORY_MIB), str(CHANGED_PER_THOUSAND))
    runtime.start(runtime.run(RunSpec(name=NAME, image=IMAGE, command=command)))
    state(runtime, 0)
    take(runtime, full)
    with PageIndex(KEY) as made:
        passed = tmp_path / "passed"
        write(passed, record_pages(read(full), made))
        write(index, made.chunks())
    assert passed.read_bytes() == full.read_bytes()

    for number in (1, 2):
        runtime.exec(NAME, ["sh", "-c", "kill -USR1 1"])
        sum_before = state(runtime, number)
        tars.append(tmp_path / f"tar-{number}")
        deltas.append(tmp_path / f"delta-{number}")
        take(runtime, tars[-1])
        with PageIndex(KEY) as made:
            parent = ParentIndex(read(index), key=KEY, name="parent")
            write(deltas[-1], encode_delta(read(tars[-1]), parent, made))
            write(index, made.chunks())
        assert compressed_bytes(deltas[-1]) < compressed_bytes(full) * 0.08
        assert index.stat().st_size < full.stat().st_size * 0.005
    runtime.remove(NAME, force=True)

    rebuilt = tmp_path / "rebuilt"
    write(rebuilt, rebuild(read(full), [read(delta) for delta in deltas], archive="sample"))
    assert rebuilt.read_bytes() == tars[-1].read_bytes()
    runtime.restore(read(rebuilt), RestoreSpec(), archive="sample")

    assert state(runtime, 2) == sum_before
