"""What every CheckpointRuntime tells before a move, the real one and its fake."""

from __future__ import annotations

import pytest

from runtime import (
    CANARY_LABEL,
    CanaryState,
    ContainerNotFoundError,
    ContainerState,
    Mount,
    Port,
)
from runtime.preflight.facts import PathKind, PublishedPort
from tests.contract.conftest import Subject

pytestmark = pytest.mark.contract

BINDS = (
    Mount(type="bind", source="/etc", target="/host-etc"),
    Mount(type="volume", source="facts-data", target="/data"),
)


def test_a_host_tells_what_it_is(subject: Subject) -> None:
    host = subject.runtime.host_facts()
    known = subject.runtime.capabilities()

    assert (host.architecture, host.kernel) == (known.architecture, known.kernel)
    assert (host.oci_runtime, host.version) == (known.oci_runtime, known.version)
    assert host.memory_free_bytes > 0
    assert host.disk_free_bytes > 0
    assert host.checkpoint_reason == ""


def test_a_container_tells_what_has_to_move(subject: Subject) -> None:
    container = subject.start(mounts=BINDS, ports=(Port(container_port=80, host_port=8123),))
    try:
        facts = subject.runtime.container_facts(container)

        assert facts.container_id == container
        assert facts.state is ContainerState.RUNNING
        assert facts.image_id == subject.runtime.image(subject.image).id
        assert facts.image_named
        assert facts.volumes == ("facts-data",)
        assert [(b.source, b.target, b.kind) for b in facts.binds] == [
            ("/etc", "/host-etc", PathKind.DIRECTORY)
        ]
        assert facts.ports == (PublishedPort(port=8123, owner=facts.ports[0].owner),)
        assert facts.processes is not None
        assert not facts.processes.io_uring
        assert subject.runtime.container_facts(facts.name).name == facts.name
    finally:
        subject.clean()
        subject.runtime.remove_volume("facts-data")


def test_nobody_has_no_facts(subject: Subject) -> None:
    with pytest.raises(ContainerNotFoundError):
        subject.runtime.container_facts("nobody")


def test_a_volume_that_another_mounts_is_told(subject: Subject) -> None:
    container = subject.create(mounts=BINDS)
    other = subject.create(mounts=BINDS[1:])
    try:
        [shared] = subject.runtime.container_facts(container).shared_volumes
        assert shared.name == "facts-data"
        assert shared.other == subject.runtime.inspect(other).name
    finally:
        subject.clean()
        subject.runtime.remove_volume("facts-data")


def test_a_target_tells_what_it_has_of_a_container(subject: Subject) -> None:
    container = subject.start(mounts=BINDS, ports=(Port(container_port=80, host_port=8124),))
    facts = subject.runtime.container_facts(container)
    try:
        here = subject.runtime.target_facts(facts, subject.runtime.host_facts())
        assert (here.name_in_use, here.id_in_use) == (True, True)
        assert here.volumes == ("facts-data",)
        assert PublishedPort(port=8124, owner=facts.name) in here.ports
        assert here.image_id == facts.image_id
        assert here.paths == {"/etc": PathKind.DIRECTORY}
    finally:
        subject.clean()
        subject.runtime.remove_volume("facts-data")

    gone = subject.runtime.target_facts(facts, subject.runtime.host_facts())

    assert (gone.name_in_use, gone.id_in_use, gone.volumes) == (False, False, ())
    assert not [port for port in gone.ports if port.port == 8124 and port.owner]


def test_a_canary_proves_that_checkpoints_work_and_goes(subject: Subject) -> None:
    canary = subject.runtime.canary()

    assert canary.state is CanaryState.OK, canary.reason
    assert canary.criu_version
    assert subject.runtime.find_containers({CANARY_LABEL: "1"}) == []
    assert subject.runtime.find_images({CANARY_LABEL: "1"}) == []


def test_a_host_tells_what_it_has_left(subject: Subject) -> None:
    host = subject.runtime.host_facts()
    room = subject.runtime.room(host)

    assert room.memory_bytes is not None
    assert room.memory_bytes > 0
    assert room.disk_bytes is None or room.disk_bytes > 0


def test_the_memory_of_what_runs_is_told_by_its_id(subject: Subject) -> None:
    running, stopped = subject.start(), subject.start()
    subject.runtime.stop(stopped)
    used = subject.runtime.memory_used()

    assert used[running] > 0
    assert stopped not in used
