"""Fake hosts do with a half-done call what Podman would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from runtime import (
    CheckpointSpec,
    ContainerNotFoundError,
    ContainerState,
    EngineUnavailableError,
    RestoreSpec,
)
from tests.fleet import eventually
from tests.many.hosts import FakeHosts, counted
from tests.many.remote import Request, remote_engine


@pytest.fixture
def hosts() -> Iterator[FakeHosts]:
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as name:
        made = FakeHosts(directory=Path(name), names="ab")
        with made.serving():
            yield made


def archive(hosts: FakeHosts) -> bytes:
    """Checkpoint the container that is on a."""
    with remote_engine(str(hosts.socket("a"))).checkpoint("web", CheckpointSpec()) as chunks:
        return b"".join(chunks)


def test_a_container_moves_with_its_memory(hosts: FakeHosts) -> None:
    life, _ = counted(hosts.run("a", "web"))
    data = archive(hosts)
    engine = remote_engine(str(hosts.socket("b")))
    engine.restore(iter([data[:10], data[10:]]), RestoreSpec(), archive="x")
    assert engine.inspect("web").state is ContainerState.RUNNING
    ((_, stopped), (_, moved)) = hosts.places("web")
    assert stopped.state is ContainerState.EXITED
    assert counted(moved)[0] == life
    assert hosts.ledger.wrong == []


def test_errors_arrive_as_they_were(hosts: FakeHosts) -> None:
    with pytest.raises(ContainerNotFoundError, match="'web'"):
        remote_engine(str(hosts.socket("a"))).inspect("web")
    with pytest.raises(EngineUnavailableError):
        remote_engine(str(hosts.socket("c"))).ping()


def test_a_restore_whose_stream_breaks_off_leaves_nothing(hosts: FakeHosts) -> None:
    hosts.run("a", "web")
    data = archive(hosts)
    engine = remote_engine(str(hosts.socket("b")))

    def broken() -> Iterator[bytes]:
        yield data
        raise TimeoutError

    with pytest.raises(TimeoutError):
        engine.restore(broken(), RestoreSpec(), archive="x")
    engine.restore(iter([data]), RestoreSpec(name="other"), archive="x")
    assert [container.name for container in engine.containers()] == ["other"]


def test_a_checkpoint_that_nobody_reads_on_stays_in_place(hosts: FakeHosts) -> None:
    hosts.run("a", "web")
    engine = remote_engine(str(hosts.socket("a")))
    with engine.checkpoint("web", CheckpointSpec()) as chunks:
        next(chunks)
    assert engine.inspect("web").checkpointed
    engine.restore_in_place("web", RestoreSpec())
    assert engine.inspect("web").state is ContainerState.RUNNING


def test_a_call_is_carried_out_though_its_caller_has_gone(hosts: FakeHosts) -> None:
    container = hosts.run("a", "web")
    with Client(str(hosts.socket("a")), "AF_UNIX") as connection:
        connection.send(Request(method="stop", arguments=("web",)))
    eventually(lambda: container.state is ContainerState.EXITED, "the container stops")


def test_a_second_copy_and_memory_that_goes_back_are_seen(hosts: FakeHosts) -> None:
    hosts.run("a", "web")
    data = archive(hosts)
    here, there = (remote_engine(str(hosts.socket(host))) for host in "ab")
    here.restore_in_place("web", RestoreSpec())
    assert hosts.ledger.wrong == []
    there.restore(iter([data]), RestoreSpec(), archive="x")
    assert any("runs on a and b" in line for line in hosts.ledger.wrong)
    there.remove("web", force=True, volumes=True)
    there.remove_volume("web-data")
    archive(hosts)
    assert not any("went back" in line for line in hosts.ledger.wrong)
    there.restore(iter([data]), RestoreSpec(), archive="x")
    assert any("went back" in line for line in hosts.ledger.wrong)
