"""The commands about hosts, typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakeredis import FakeRedis
from typer.testing import CliRunner

from podferry import Client, Settings
from podferry import client as clients
from podferry.cli import common
from podferry.cli.main import app
from runtime import Room
from runtime.fake_facts import HOST
from tasks import locate
from tasks.errors import InvalidRequestError, UnknownHostError
from tasks.hosts import HostReport
from tasks.models import Inventory, WorkerInfo, WorkloadLine
from tasks.registry import Registry

MIB = 1 << 20


@pytest.fixture(autouse=True)
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRedis]:
    """Hosts a, where web runs, and b."""
    client = FakeRedis(protocol=2)
    monkeypatch.setattr(clients, "connect", lambda _: client)
    monkeypatch.setattr(common, "load_settings", lambda **_: Settings(redis_url="redis://x"))
    monkeypatch.setattr(locate, "FRESH_SECONDS", 0.01)
    registry = Registry(client)
    for host in "ab":
        registry.beat(WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1, control=True))
        registry.report(Inventory(host=host))
        room = Room(memory_bytes=512 * MIB, disk_bytes=1024 * MIB, load=0.25)
        registry.report_host(HostReport(host=host, facts=HOST, labels={"zone": host}, room=room))
    line = WorkloadLine(
        name="web", id="1" * 64, image="web", state="running", memory_bytes=64 * MIB
    )
    registry.report(Inventory(host="a", containers=(line,)))
    yield client
    client.close()


def typed(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_hosts_are_listed_with_what_they_have_left() -> None:
    code, output = typed("hosts")
    assert code == 0
    assert all(word in output for word in ("active", "512.0 MiB", "1.0 GiB", "0.2", "zone=a"))
    assert HOST.kernel in typed("hosts", "--wide")[1]


def test_a_cordoned_host_says_why() -> None:
    assert typed("cordon", "b", "--reason", "new kernel") == (0, "b is cordoned\n")
    output = typed("hosts")[1]
    assert "cordoned" in output
    assert "new kernel" in output
    assert typed("uncordon", "b")[1] == "b takes workloads\n"
    assert typed("uncordon", "b")[1] == "b takes workloads, as it did before\n"


def test_a_host_that_is_being_emptied_is_not_uncordoned() -> None:
    client = Client(Settings(redis_url="redis://x"))
    client.drains.begin("a")
    with pytest.raises(InvalidRequestError, match="podferry drain-cancel a"):
        typed("uncordon", "a")


def test_labels_are_set_and_removed() -> None:
    assert typed("label", "b", "rack=1", "zone=y")[1] == "b: rack=1,zone=y\n"
    assert typed("label", "b", "rack-", "zone-")[1] == "b: zone=b\n"
    with pytest.raises(InvalidRequestError, match="both set and removed"):
        typed("label", "b", "rack=1", "rack-")


@pytest.mark.parametrize("words", [("cordon", "x"), ("uncordon", "x"), ("label", "x", "a=b")])
def test_unknown_hosts(words: tuple[str, ...]) -> None:
    with pytest.raises(UnknownHostError, match="a, b"):
        typed(*words)


def test_where_a_workload_would_go() -> None:
    assert typed("place", "web") == (0, "b\n")
    code, output = typed("place", "web", "--explain")
    assert code == 0
    assert "it is there now" in output
    assert "0 moves under way to it" in output


def test_no_host_fits() -> None:
    code, output = typed("place", "web", "--selector", "zone=z")
    assert code == 1
    assert "b: lacks the label zone=z" in output


def test_a_selector_goes_without_a_target() -> None:
    with pytest.raises(InvalidRequestError, match="without a target"):
        typed("migrate", "web", "--to", "b", "--selector", "zone=b")
