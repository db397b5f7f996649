from __future__ import annotations

import platform
import stat
import struct
import subprocess
import time
from pathlib import Path

import pytest

from runtime import CANARY_LABEL, FakeRuntime, NetworkAttachment, RunSpec
from runtime.canary_image import LABELS, STEM, canary_image, new_name, program, sweep
from runtime.errors import EngineError
from runtime.fake_state import FakeImage
from runtime.libpod import LibpodClient


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_the_program_is_one_segment_that_begins_with_its_first_instruction(
    architecture: str, machine: int
) -> None:
    elf = program(architecture)
    assert elf[:4] == b"\x7fELF"
    kind, found, _, entry, headers = struct.unpack_from("<HHIQQ", elf, 16)
    assert (kind, found, headers) == (2, machine, 64)
    load, flags, offset, address, _, in_file, in_memory = struct.unpack_from("<IIQQQQQ", elf, 64)
    assert (load, flags, offset) == (1, 5, 0)
    assert in_file == in_memory == len(elf)
    assert entry - address == 64 + 56


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its instructions are for x86-64")
def test_the_program_runs_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "canary"
    path.write_bytes(program("amd64"))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    with subprocess.Popen([path]) as process:
        try:
            status = Path(f"/proc/{process.pid}/status")
            limit = time.monotonic() + 10
            while "State:\tS" not in status.read_text():
                assert process.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.01)
        finally:
            process.kill()


def test_another_architecture_has_none() -> None:
    with (
        pytest.raises(EngineError, match="there is none for s390x"),
        canary_image(FakeRuntime(), LibpodClient("/nowhere"), "s390x"),
    ):
        pass


def test_leftovers_are_swept_and_nothing_else() -> None:
    runtime = FakeRuntime()
    old, young = f"{STEM}-1000-abc", new_name()
    images = {
        "1": (f"localhost/{STEM}:1000-abc", LABELS),
        "2": (f"localhost/{young.replace(f'{STEM}-', f'{STEM}:')}", LABELS),
        "3": ("localhost/web:1", {}),
    }
    for digit, (name, labels) in images.items():
        image = FakeImage(id=digit * 64, names=(name,), labels=labels)
        runtime.images[image.id] = image
    for name, digit, labels in ((old, "1", LABELS), (young, "2", LABELS), ("web", "3", {})):
        network = (NetworkAttachment(name="none"),)
        image_name = images[digit][0]
        runtime.start(
            runtime.run(RunSpec(name=name, image=image_name, labels=labels, networks=network))
        )

    sweep(runtime, older_than_seconds=600)

    assert {c.name for c in runtime.containers()} == {young, "web"}
    assert {name for i in runtime.images.values() for name in i.names} == {
        images["2"][0],
        "localhost/web:1",
    }
    assert set(LABELS) == {CANARY_LABEL}
