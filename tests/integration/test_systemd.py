"""The units: systemd takes them, they give little away, and a worker works with what is left."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.fleet import PODFERRY, Fleet, Workload
from tests.integration.test_cold import (
    test_files_and_volume_arrive_and_the_process_is_new as files_arrive,
)
from tests.integration.test_groups import project as project
from tests.integration.test_groups import (
    test_a_project_moves_with_its_connections_network_and_volume as project_moves,
)
from tests.lab import ROOT, missing
from tests.projects import Project

pytestmark = pytest.mark.integration

OPS = ROOT / "ops"
UNITS = sorted((OPS / "systemd").glob("*.service"))
QUADLET = OPS / "quadlet" / "podferry-host.container"
WORST = {"podferry-host": 3.6}  # of 10; the others' rights are next to none
USUAL = 1.5


def of(unit: Path, section: str) -> dict[str, str]:
    """The settings of a unit's section; of one that comes again the last."""
    parser = RawConfigParser(strict=False, delimiters="=", comment_prefixes="#", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keep upper case
    parser.read(unit)
    return dict(parser[section])


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., str]:
    """Runs systemd-analyze over the units, with programs that are there."""
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze; ops/setup/system.sh installs it")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/podferry/bin/podferry", PODFERRY)
        (tmp_path / unit.name).write_text(text)
    (tmp_path / "podman.socket").write_text("[Socket]\nListenStream=%t/podman/podman.sock\n")
    (tmp_path / "podman.service").write_text("[Service]\nExecStart=/bin/true\n")

    def run(*words: str) -> str:
        done = subprocess.run(
            ["systemd-analyze", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "SYSTEMD_PAGER": "cat", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it(unit: Path, analyze: Callable[..., str]) -> None:
    assert analyze("verify", "--man=no", f"./{unit.name}") == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_gives_little_away(unit: Path, analyze: Callable[..., str]) -> None:
    worst = round(WORST.get(unit.stem, USUAL) * 10)
    analyze("security", "--offline=true", f"--threshold={worst}", f"./{unit.name}")


def test_the_container_has_the_rights_of_the_unit() -> None:
    unit, quadlet = of(UNITS[2], "Service"), of(QUADLET, "Container")
    capabilities = unit["CapabilityBoundingSet"].replace("CAP_", "")
    assert quadlet["AddCapability"] == capabilities
    assert quadlet["DropCapability"] == "ALL"


@pytest.fixture
def restricted(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet, its workers with the capabilities of the unit and no others."""
    bounds = of(OPS / "systemd" / "podferry-host.service", "Service")["CapabilityBoundingSet"]
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in bounds.split())
    limits = ["setpriv", "--no-new-privs", f"--bounding-set=-all,{kept}", "--inh-caps=-all"]
    program = shlex.join([*limits, str(sys.executable), PODFERRY])
    fleet.lab.call("workers", "restart", "--program", program)
    try:
        yield fleet
    finally:
        fleet.lab.call("workers", "restart")


def test_a_worker_needs_no_other_capabilities(
    restricted: Fleet, workload: Workload, project: Project
) -> None:
    status = Path(f"/proc/{restricted.worker('a')}/status").read_text()
    assert "CapBnd:\t000001ffffffffff" not in status
    files_arrive(restricted, workload)
    project_moves(restricted, project)
    checked = restricted.run("preflight", workload.name, "--to", "b")
    assert checked.returncode == 0
    assert "cannot" not in checked.stdout, checked.stdout
