"""The engine's process, found by its socket; here it is the test's own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.host import file_of_engine, listener, network_of_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """A socket on which this process listens."""
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        yield path


def test_the_engine_is_who_listens(engine: str) -> None:
    assert listener(engine) == os.getpid()
    assert listener(f"{engine}.gone") == 0


def test_the_engine_s_network_is_its_process_s(engine: str) -> None:
    found = network_of_engine(engine)
    assert found is not None
    assert found.readlink() == Path("/proc/self/ns/net").readlink()


def test_an_engine_that_is_not_there_has_no_network(engine: str) -> None:
    assert network_of_engine(f"{engine}.gone") is None


def test_a_thread_that_went_elsewhere_does_not_count(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman enters a container's network in a thread; it may be the first, and stay there."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    first = str(os.getpid())
    real = Path.readlink

    def elsewhere(path: Path) -> Path:
        is_first = path.parts[3:5] == ("task", first)
        return Path("net:[1]") if is_first else real(path)

    monkeypatch.setattr(Path, "readlink", elsewhere)
    try:
        found = network_of_engine(engine)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert found is not None
    assert found.parts[4] != first


def test_a_file_is_found_through_the_directory_it_is_in(engine: str, tmp_path: Path) -> None:
    file = tmp_path / "netns"
    file.touch(mode=0o444)  # which nobody may execute
    found = file_of_engine(engine, str(file))
    assert found is not None
    assert found.samefile(file)
    assert file_of_engine(engine, "/nowhere/at/all") is None
    assert file_of_engine(engine, "") is None
