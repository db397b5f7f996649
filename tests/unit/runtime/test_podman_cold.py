"""Cold copies, and what is asked of Podman for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from runtime import (
    CheckpointFailedError,
    CheckpointUnsupportedError,
    ColdSpec,
    ContainerNotFoundError,
    OutOfSightError,
    PodmanRuntime,
)
from tests.unit.runtime.fidelity.tars import contents
from tests.unit.runtime.server import Answer, document, engine, refusal
from tests.unit.runtime.test_podman import RECORDED


class Podman:
    """Answers for one container with a volume; what it is asked stands in ``asked``."""

    def __init__(self, place: Path, **hidden: Any) -> None:  # noqa: ANN401 - inspect's answer
        self.upper, self.data, self.merged = (place / n for n in ("upper", "data", "merged"))
        for folder in (self.upper, self.data, self.merged):
            folder.mkdir()
        self.volume: dict[str, object] = {"Name": "data", "Mountpoint": str(self.data)}
        mount = {"Type": "volume", "Name": "data", "Destination": "/data", "RW": True}
        driver = {"Name": "overlay", "Data": {"UpperDir": str(self.upper)}}
        self.hidden = {**deepcopy(RECORDED), "Mounts": [mount], "GraphDriver": driver, **hidden}
        self.stop: Answer = (204, b"")
        self.asked: list[str] = []
        self.mounted: Callable[[str], bytes] = lambda path: f"{path}\n".encode()

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.asked.append(path)
        plain = path.partition("?")[0]
        if plain.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        if "/nobody" in plain:
            return refusal(404, "no such container")
        if "/volumes/data/json" in plain:
            return document(self.volume)
        if plain.endswith("/stop"):
            return self.stop
        if plain.endswith("/mount"):
            return 200, self.mounted(f"{self.merged}")
        if plain.endswith("/unmount"):
            return (204, b"")
        return document(self.hidden)


@contextmanager
def runtime(tmp_path: Path, podman: Podman) -> Iterator[PodmanRuntime]:
    with engine(tmp_path / "s", podman) as socket:
        made = PodmanRuntime(socket)
        try:
            yield made
        finally:
            made.close()


def copied(tmp_path: Path, podman: Podman, spec: ColdSpec) -> bytes:
    with runtime(tmp_path, podman) as made, made.cold_copy("full", spec) as chunks:
        return b"".join(chunks)


def stops(podman: Podman) -> list[str]:
    return [path for path in podman.asked if "/stop" in path]


def test_layer_and_volumes_are_read_once_it_is_stopped(tmp_path: Path) -> None:
    podman = Podman(tmp_path)
    (podman.upper / "motd").write_bytes(b"mine")
    (podman.data / "log").write_bytes(b"line")

    found = contents(copied(tmp_path, podman, ColdSpec(stop_timeout_seconds=7)))

    assert contents(found["rootfs-diff.tar"])["motd"] == b"mine"
    assert contents(found["volumes/data.tar"])["log"] == b"line"
    (stop,) = stops(podman)
    assert stop.endswith("t=7")


def test_volumes_that_another_carries_are_left_out(tmp_path: Path) -> None:
    found = contents(copied(tmp_path, Podman(tmp_path), ColdSpec(ignore_volumes=True)))
    assert list(found) == ["rootfs-diff.tar"]


@pytest.mark.parametrize(
    ("volume", "hidden", "why"),
    [
        ({"Options": {"type": "tmpfs"}}, {}, "no plain local one"),
        ({"Driver": "nfs"}, {}, "no plain local one"),
        ({"Mountpoint": "/nowhere/at/all"}, {}, "cannot reach /nowhere/at/all"),
        ({}, {"State": {"Status": "exited"}}, "exited, not running"),
    ],
)
def test_what_could_not_be_copied_is_not_stopped(
    tmp_path: Path, volume: dict[str, object], hidden: dict[str, object], why: str
) -> None:
    podman = Podman(tmp_path)
    podman.volume |= volume
    for name, fields in hidden.items():
        podman.hidden[name] |= fields
    with runtime(tmp_path, podman) as made:
        assert why in made.cold_blocker("full")
        with (
            pytest.raises(CheckpointUnsupportedError, match=why),
            made.cold_copy("full", ColdSpec()),
        ):
            pass
    assert stops(podman) == []


def test_a_stop_that_fails_is_a_failed_checkpoint(tmp_path: Path) -> None:
    podman = Podman(tmp_path)
    podman.stop = refusal(500, "it does not die")
    with pytest.raises(CheckpointFailedError, match="it does not die"):
        copied(tmp_path, podman, ColdSpec())


def test_a_volume_that_goes_away_is_a_failed_checkpoint(tmp_path: Path) -> None:
    podman = Podman(tmp_path)
    with runtime(tmp_path, podman) as made, made.cold_copy("full", ColdSpec()) as chunks:
        podman.data.rmdir()
        with pytest.raises(CheckpointFailedError):
            b"".join(chunks)


@pytest.mark.parametrize("mounted", [lambda p: f"{p}\n".encode(), lambda p: f'"{p}"'.encode()])
def test_files_are_removed_where_the_root_is_mounted(
    tmp_path: Path, mounted: Callable[[str], bytes]
) -> None:
    podman = Podman(tmp_path)
    podman.mounted = mounted
    (podman.merged / "gone").touch()
    (podman.merged / "kept").touch()
    with runtime(tmp_path, podman) as made:
        made.remove_paths("full", ["/gone"])
    assert [path.name for path in podman.merged.iterdir()] == ["kept"]
    assert [p.rpartition("/")[2] for p in podman.asked if p.endswith("mount")] == [
        "mount",
        "unmount",
    ]


def test_a_mount_that_cannot_be_seen_is_an_error(tmp_path: Path) -> None:
    podman = Podman(tmp_path)  # an empty directory, as below a mount in another namespace
    with runtime(tmp_path, podman) as made, pytest.raises(OutOfSightError):
        made.remove_paths("full", ["/gone"])
    assert podman.asked[-1].endswith("/unmount")


def test_nobody_has_no_files(tmp_path: Path) -> None:
    podman = Podman(tmp_path)
    with runtime(tmp_path, podman) as made, pytest.raises(ContainerNotFoundError):
        made.remove_paths("nobody", ["/gone"])
