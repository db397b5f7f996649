"""The benchmark runs to its end, reports what it promises, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.claims import REST, claims
from tests.bench.records import OURS, Report
from tests.lab import ROOT, missing

pytestmark = pytest.mark.integration
SECONDS = 500
METHODS = {OURS, "script, zstd", "script, none", REST}
STEPS = {"describe", "preflight", "push_image", "pull_image", "checkpoint", "restore", "finish"}
BENCH = [sys.executable, "-m", "tests.bench", "--short"]


def started(*options: str) -> subprocess.Popen[str]:
    """The benchmark, in a session of its own, so that a signal is for it alone."""
    if os.geteuid() != 0:
        missing("the lab needs root")
    return subprocess.Popen(
        [*BENCH, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_short_benchmark(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    with started("--output", str(output)) as process:
        stdout, stderr = process.communicate(timeout=SECONDS)
    if process.returncode == 2 and "no m" in stderr:  # mc, MinIO
        missing(stderr)
    assert process.returncode == 0, stdout + stderr
    report = Report.model_validate_json(output.read_text())
    transfers = report.transfer[64]
    assert set(transfers) == {"upload", "download"}
    assert all(set(tools) == {OURS, "mc", "boto3"} for tools in transfers.values())
    assert len(report.codec[64]) == 4
    assert report.moves is not None
    moves = report.moves.sizes[64]
    assert set(moves) == METHODS
    assert all(move.total > move.downtime > 0 for runs in moves.values() for move in runs)
    assert set(moves[OURS][0].steps) == STEPS
    assert report.memory is not None
    assert all(claim.holds for claim in claims(report) if not claim.timed), stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_takes_its_lab_down(number: signal.Signals) -> None:
    with started("--only", "moves") as process:
        assert process.stderr is not None
        line = next((line for line in process.stderr if line.startswith("lab: ")), "")
        if not line:
            missing("the benchmark did not come as far as its lab")
        place = Path(line.removeprefix("lab: ").strip())
        assert place.is_dir()
        process.send_signal(number)
        process.send_signal(number)  # who presses Ctrl-C presses it twice
        process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert not place.exists()
    assert str(place) not in Path("/proc/mounts").read_text()
