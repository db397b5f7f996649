"""The benchmark runs to its end, reports what it promises, and the memory limit holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import ROOT, missing

pytestmark = pytest.mark.integration
SECONDS = 500
METHODS = {"podferry", "script, zstd", "script, none"}
STEPS = ("describe", "preflight", "push_image", "pull_image", "checkpoint", "restore", "finish")


def test_short_benchmark(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        missing("the lab needs root")
    output = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--short", "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    if "no MinIO" in done.stderr:
        missing(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS: less than 150 MiB above idle" in done.stdout
    report = json.loads(output.read_text())
    methods = report["sizes"]["64"]
    assert set(methods) == METHODS
    for method in methods.values():
        assert method["total_seconds"] > method["downtime_seconds"] > 0
    assert tuple(methods["podferry"]["steps_seconds"]) == STEPS
    assert report["memory"]["holds"]
    for worker in report["memory"]["sizes"]["256"].values():
        assert worker["peak_mib"] >= worker["idle_mib"] > 0
