"""What is said before a move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.fidelity.findings import NAMED_AT_MOST, unkept

VOLUME = {"Name": "data", "Mountpoint": "/volumes/data", "Driver": "local"}


def container(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - libpod's JSON
    return {
        "GraphDriver": {"Name": "overlay", "Data": {"UpperDir": "/upper"}},
        "HostConfig": {"LogConfig": {"Type": "k8s-file"}},
        "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/data"}],
        **changes,
    }


def nothing(_: str) -> None:
    return None


def test_a_plain_container_keeps_everything(tmp_path: Path) -> None:
    assert unkept(container(), [VOLUME], lambda path: tmp_path) == ()


def test_files_of_the_host_stay_there(tmp_path: Path) -> None:
    mounts = [{"Type": "bind", "Source": "/srv/www", "Destination": "/www"}]

    (found,) = unkept(container(Mounts=mounts), [], lambda path: tmp_path)

    assert "/www is the host's own /srv/www" in found


def test_volumes_lose_what_their_driver_was_told(tmp_path: Path) -> None:
    volume = {**VOLUME, "Labels": {"b": "1", "a": "2"}, "Options": {"type": "nfs"}}

    labels, options = unkept(container(), [volume], lambda path: tmp_path)

    assert labels == "volume 'data' loses its labels a, b"
    assert "plain local one" in options


def test_a_journal_stays_here(tmp_path: Path) -> None:
    config = {"LogConfig": {"Type": "journald"}}

    (found,) = unkept(container(HostConfig=config), [], lambda path: tmp_path)

    assert "'journald'" in found


def test_what_the_engine_cannot_tell_of_a_layer() -> None:
    by_rest = unkept(container(), [VOLUME], nothing)

    assert len(by_rest) == 1
    assert "access control lists" in by_rest[0]
    assert unkept(container(GraphDriver={"Name": "btrfs", "Data": None}), [], Path) == by_rest


def test_holes_are_named_up_to_a_number(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(NAMED_AT_MOST + 2):
        with (tmp_path / "d" / f"{number:02}").open("wb") as file:
            file.truncate(5 << 20)

    found = unkept(container(), [VOLUME], {"/volumes/data": tmp_path}.get)

    assert found[1] == "/data/d/00 has holes of 5 MiB, which will be filled"
    assert found[-1] == "2 more files have holes, which will be filled"
    assert len(found) == 1 + NAMED_AT_MOST + 1
