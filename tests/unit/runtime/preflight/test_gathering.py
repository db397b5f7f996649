from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runtime import ContainerNotFoundError
from runtime.libpod import LibpodClient
from runtime.preflight import machine
from runtime.preflight.facts import BindFacts, PathKind, PublishedPort, SharedVolume
from runtime.preflight.gathering import (
    gather_container,
    gather_host,
    gather_memory,
    gather_room,
    gather_target,
)
from runtime.preflight.reading import read_container
from tests.unit.runtime.preflight.answers import CONTAINER, IMAGE, INFO, LIST, NETWORK, SHOP
from tests.unit.runtime.server import Answer, document, engine, refusal

STATISTICS = {"Stats": [{"MemUsage": 4096}]}
ANSWERS: dict[str, object] = {
    "/info": INFO,
    "/containers/web/json": CONTAINER,
    "/containers/json": LIST,
    "/containers/stats": STATISTICS,
    "/volumes/json": [{"Name": "data"}, {"Name": "theirs"}],
    "/networks/json": [NETWORK, {**NETWORK, "name": "other", "containers": {}}],
    "/networks/net/json": NETWORK,
    "/images/localhost/web:1/json": {"Id": IMAGE, "Size": 77},
    f"/images/{IMAGE}/json": {"Id": IMAGE, "Size": 77},
}


@pytest.fixture
def answers() -> dict[str, object]:
    return dict(ANSWERS)


@pytest.fixture
def libpod(tmp_path: Path, answers: dict[str, object]) -> Iterator[LibpodClient]:
    def respond(method: str, path: str, body: bytes) -> Answer:
        asked = urlsplit(path).path.partition("/libpod")[2].replace("%3A", ":")
        if asked in answers:
            return document(answers[asked])
        kind = asked.split("/")[1]
        return refusal(404, "image not known" if kind == "images" else "no such container")

    with engine(tmp_path / "s", respond) as socket:
        yield LibpodClient(socket)


def look(paths: Iterable[str]) -> dict[str, PathKind]:
    return dict.fromkeys(paths, PathKind.FILE)


@pytest.fixture(autouse=True)
def a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processes", lambda *_: None)
    monkeypatch.setattr(machine, "listening", lambda: iter(()))


def test_the_machine_knows_its_free_memory_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: ("avx",))
    monkeypatch.setattr(machine, "memory_available", lambda: 5)
    found = gather_host(INFO)
    assert (found.cpu_flags, found.memory_free_bytes) == (("avx",), 5)
    monkeypatch.setattr(machine, "memory_available", lambda: None)
    assert gather_host(INFO).memory_free_bytes == 1000


def test_room_is_asked_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_available", lambda: 5)
    monkeypatch.setattr(machine, "load", lambda: 0.5)
    host = gather_host(INFO)
    assert host.graph_root == "/c/storage"
    nobody = str(tmp_path / "nobody.sock")  # no engine is asked
    hidden = gather_room(nobody, host)
    assert (hidden.memory_bytes, hidden.disk_bytes, hidden.load) == (5, None, 0.5)
    room = gather_room(nobody, host.model_copy(update={"graph_root": str(tmp_path)}))
    assert room.disk_bytes is not None
    assert room.disk_bytes > 0


def test_the_engine_is_asked_for_memory_that_cannot_be_seen(
    libpod: LibpodClient, answers: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["/containers/stats"] = {"Stats": [{"ContainerID": SHOP, "MemUsage": 4096}]}
    monkeypatch.setattr(machine, "memory_of_containers", dict)
    assert gather_memory(libpod) == {SHOP: 4096}
    answers["/containers/stats"] = {"Stats": None}
    assert gather_memory(libpod) == {}
    monkeypatch.setattr(machine, "memory_of_containers", lambda: {SHOP: 7})
    assert gather_memory(libpod) == {SHOP: 7}


def test_a_container_is_completed(libpod: LibpodClient) -> None:
    facts = gather_container(libpod, "web", look)

    assert facts.image_named
    assert facts.image_bytes == 77
    assert facts.shared_volumes == (SharedVolume(name="data", other="shop"),)
    assert facts.binds == (BindFacts(source="/srv/web", target="/www", kind=PathKind.FILE),)
    [attachment] = facts.networks
    assert attachment.network.subnets == ("10.89.0.0/24",)
    assert attachment.network.taken == {}
    assert facts.memory_bytes == 4096
    assert facts.processes is None


def test_a_name_that_means_another_image_is_told(
    libpod: LibpodClient, answers: dict[str, object]
) -> None:
    answers["/images/localhost/web:1/json"] = {"Id": "9" * 64, "Size": 1}
    assert not gather_container(libpod, "web", look).image_named
    del answers["/images/localhost/web:1/json"]
    assert not gather_container(libpod, "web", look).image_named


def test_a_container_that_is_not_there_is_an_error(libpod: LibpodClient) -> None:
    with pytest.raises(ContainerNotFoundError, match="nosuch"):
        gather_container(libpod, "nosuch", look)


def test_a_target_tells_what_it_has_of_a_container(
    libpod: LibpodClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = [PublishedPort(port=8080), PublishedPort(port=22)]
    monkeypatch.setattr(machine, "listening", lambda: iter(theirs))
    facts = gather_target(libpod, gather_host(INFO), read_container(CONTAINER), look)

    assert facts.image_id == IMAGE
    assert not facts.name_in_use
    assert facts.id_in_use  # a stopped one, under another name
    assert facts.volumes == ("data",)
    assert facts.ports == (
        PublishedPort(port=8080, owner="shop"),
        PublishedPort(port=8081, owner="shop"),
        PublishedPort(port=22),
    )
    assert [n.taken for n in facts.networks] == [{"10.89.0.9": "shop"}, {}]
    assert facts.paths == {"/srv/web": PathKind.FILE, "/dev/fuse": PathKind.FILE}


def test_an_empty_target_has_nothing(libpod: LibpodClient, answers: dict[str, object]) -> None:
    answers.update({"/containers/json": [], "/volumes/json": [], "/networks/json": []})
    del answers["/images/localhost/web:1/json"]

    facts = gather_target(libpod, gather_host(INFO), read_container(CONTAINER), look)

    assert (facts.image_id, facts.volumes, facts.ports, facts.networks) == ("", (), (), ())
    assert not facts.name_in_use
    assert not facts.id_in_use
    assert SHOP not in facts.model_dump_json()
