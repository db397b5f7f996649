from __future__ import annotations

import tarfile
from io import BytesIO

import pytest

from runtime import (
    CheckpointRuntime,
    CheckpointSpec,
    CheckpointUnsupportedError,
    EngineUnavailableError,
    FakeRuntime,
    Mount,
    RestoreFailedError,
    RestoreSpec,
    RunSpec,
)
from runtime.fake_state import FakeImage


def host() -> FakeRuntime:
    runtime = FakeRuntime()
    runtime.images["1" * 64] = FakeImage(id="1" * 64, names=("i",))
    return runtime


def started(runtime: FakeRuntime) -> str:
    mount = Mount(type="volume", source="v", target="/v")
    container = runtime.run(RunSpec(name="c", image="i", mounts=(mount,)))
    runtime.start(container)
    return container


def test_it_is_a_checkpoint_runtime() -> None:
    assert isinstance(FakeRuntime(), CheckpointRuntime)


def test_faults_are_raised_one_per_call() -> None:
    runtime = host()
    first, second = EngineUnavailableError("s", "1"), EngineUnavailableError("s", "2")
    runtime.faults["ping"] = [first, second]

    for expected in (first, second):
        with pytest.raises(EngineUnavailableError) as caught:
            runtime.ping()
        assert caught.value is expected
    runtime.ping()


def test_a_fault_on_entering_a_checkpoint_changes_nothing() -> None:
    runtime = host()
    container = started(runtime)
    runtime.faults["checkpoint"] = [EngineUnavailableError("s", "gone")]

    with (
        pytest.raises(EngineUnavailableError),
        runtime.checkpoint(container, CheckpointSpec()),
    ):
        pass

    assert not runtime.inspect(container).checkpointed


def test_an_archive_moves_memory_and_volumes_to_another_host() -> None:
    here, there = host(), host()
    container = started(here)
    here.volumes["v"].files["greeting"] = b"hello"
    memory = here.containers_by_id[container].memory

    with here.checkpoint(container, CheckpointSpec()) as chunks:
        data = b"".join(chunks)
    there.restore([data], RestoreSpec(), archive="c1")

    with tarfile.open(fileobj=BytesIO(data)) as archive:
        assert "volumes/v.tar" in archive.getnames()
    assert there.containers_by_id[container].memory == memory
    assert there.volumes["v"].files == {"greeting": b"hello"}


def test_a_volume_that_is_there_already_stops_a_restore() -> None:
    here, there = host(), host()
    there.volumes |= host().volumes
    started(there)
    there.remove("c", force=True)
    with here.checkpoint(started(here), CheckpointSpec()) as chunks:
        data = b"".join(chunks)

    with pytest.raises(RestoreFailedError, match="volume with name v already exists"):
        there.restore([data], RestoreSpec(), archive="c1")


def test_a_host_without_criu() -> None:
    runtime = host()
    runtime.checkpoint_reason = "no CRIU"
    container = started(runtime)

    assert not runtime.capabilities().checkpoint
    with (
        pytest.raises(CheckpointUnsupportedError, match="no CRIU"),
        runtime.checkpoint(container, CheckpointSpec()),
    ):
        pass
