"""One fleet for all tests of a run; containers of its own for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fleet import HOSTS, Fleet, Workload
from tests.lab import lab


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Two Podman hosts, Redis, MinIO and the workers."""
    with lab(HOSTS, minio="yes") as made:
        fleet = Fleet(made)
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.close()


@pytest.fixture
def new_workload(fleet: Fleet) -> Iterator[Callable[[str], Workload]]:
    """Makes workloads with names of their own, gone from every host after the test."""
    made: list[Workload] = []

    def make(stem: str) -> Workload:
        made.append(Workload(fleet, stem))
        return made[-1]

    yield make
    for workload in made:
        workload.forget()


@pytest.fixture
def workload(new_workload: Callable[[str], Workload]) -> Workload:
    """A workload that no host has yet."""
    return new_workload("web")


@pytest.fixture(scope="module")
def running(fleet: Fleet) -> Iterator[Workload]:
    """A workload on host a that the tests of a module share: they must not move it."""
    workload = Workload(fleet, "shared")
    try:
        workload.start()
        yield workload
    finally:
        workload.forget()
