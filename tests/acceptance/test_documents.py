"""The commands in the documents, typed as they stand there."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.console import blocks, commands
from tests.lab import LAB, ROOT, Lab, lab

pytestmark = pytest.mark.integration

PYTHON = ROOT / ".venv" / "bin" / "python"
PODFERRY = ROOT / ".venv" / "bin" / "podferry"
# What these start runs until a signal, or sets up the machine: tests of their own try them.
ELSEWHERE = ("podferry dev", "podferry worker ", "uv ", "export ", "make demo", "make test")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Hosts a and b with workers, and the container `web` on a."""
    context = tmp_path_factory.mktemp("documents") / "context"
    done = subprocess.run(
        [str(LAB / "images" / "context.sh"), str(context)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with lab(["a", "b"]) as made:
        made.call("workers", "start")
        shutil.copytree(context, made.dir / "context")
        typed(made, "podferry build ./context --tag web --host a")
        typed(made, "podferry up web --name web --host a -v web-data:/data")
        yield made


def typed(fleet: Lab, line: str) -> None:
    """Type a line in the hub's network, in the lab's directory; it must succeed."""
    words = [str(PODFERRY) if word == "podferry" else word for word in shlex.split(line)]
    run(fleet, line, words)


def run(fleet: Lab, name: str, words: list[str]) -> None:
    done = subprocess.run(
        fleet.command("exec", "hub", "--", *words),
        capture_output=True,
        text=True,
        check=False,
        cwd=fleet.dir,
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def test_the_readme_works_as_it_stands(fleet: Lab) -> None:
    readme = ROOT / "README.md"
    lines = [line for line in commands(readme) if not line.startswith(ELSEWHERE)]
    assert len(lines) > 10
    failing = lines.index("podferry migrate web --to b --fallback resume")
    for line in lines[:failing]:
        typed(fleet, line)
    for snippet in blocks(readme, "python"):
        run(fleet, "the Python example", [str(PYTHON), "-c", snippet])
    for line in lines[failing:]:
        typed(fleet, line)


def test_the_lab_document_works_as_it_stands(tmp_path_factory: pytest.TempPathFactory) -> None:
    lines = commands(ROOT / "docs" / "lab.md")
    assert lines[0] == "make lab-up"
    assert lines[-1] == "make lab-down"
    with lab(["a"]) as own:
        for line in lines:
            done = subprocess.run(
                ["env", f"PODFERRY_LAB={own.dir}", *shlex.split(line)],
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_every_document_has_a_test() -> None:
    # fidelity.md shows no command; tests/integration/test_fidelity.py is its test
    # nor does security.md, which names the test of each threat
    # nor does storage.md; tests/integration/test_s3_settings.py tries its policy and its rule
    # nor archives-incremental.md; archives.md shows a reader: tests/unit/storage/test_document.py
    typed = {"README.md", "CONTRIBUTING.md", "lab.md", "operating.md"}
    tried = {
        *typed,
        "upgrading.md",
        "archives.md",
        "archives-incremental.md",
        "fidelity.md",
        "security.md",
        "storage.md",
    }
    documents = {path.name for path in (*ROOT.glob("*.md"), *Path(ROOT / "docs").glob("*.md"))}
    # bench.md is written by `make bench-plot`; tests/unit/bench is its test
    # many.md is written by `make many`; tests/integration/test_many.py is its test
    # chaos.md is written by `make chaos`; tests/integration/test_chaos.py tries a tenth of it
    assert documents - {"CHANGELOG.md", "bench.md", "many.md", "chaos.md"} == tried
