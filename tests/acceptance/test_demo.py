"""``make demo``, as a person types it; and what it leaves, asked at the hosts' own sockets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from runtime import ContainerNotFoundError, ContainerState, PodmanRuntime
from tests.lab import ROOT, Lab, lab

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place() -> Iterator[Lab]:
    with lab(["a", "b"]) as made:
        yield made


def demo(place: Lab, store: str) -> dict[str, object]:
    command = ["make", "demo", f"LAB={place.dir}", f"STORE={store}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, object] = json.loads((place.dir / "demo.json").read_text())
    return report


@pytest.mark.parametrize("store", ["local", "minio"])
def test_the_demo_moves_a_container_and_survives_a_failed_move(place: Lab, store: str) -> None:
    report = demo(place, store)
    assert set(report) == {
        *("workload", "source", "target", "counter_before", "counter_after", "downtime_seconds"),
        *("steps", "bytes", "outcome", "store", "fallback"),
    }
    assert report["outcome"] == "moved"
    assert report["store"] == store
    fallback = report["fallback"]
    assert isinstance(fallback, dict)
    assert fallback["outcome"] == "cold"
    assert fallback["volume_intact"] is True
    target = PodmanRuntime(place.socket("b"))
    name = str(report["workload"])
    assert target.inspect(name).state is ContainerState.RUNNING
    counter = int(target.exec(name, ["cat", "/state/now"]).output.split()[0])
    before = report["counter_before"]
    assert isinstance(before, int)
    assert counter > before
    with pytest.raises(ContainerNotFoundError):
        PodmanRuntime(place.socket("a")).inspect(name)
