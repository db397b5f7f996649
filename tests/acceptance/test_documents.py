"""The commands in the documents, typed as they stand there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.console import commands, every_block, shown
from tests.lab import LAB, ROOT, Lab, lab

pytestmark = pytest.mark.integration

PYTHON = ROOT / ".venv" / "bin" / "python"
PODFERRY = ROOT / ".venv" / "bin" / "podferry"
# Pages whose commands are typed here, one page after the other, each with `web` on a to begin with.
TYPED = (
    *("README.md", "index.md", "operating.md", "observability.md"),
    *("control-plane.md", "upgrading.md"),
)
# What is not typed here, by how it begins, and what tries it instead.
ELSEWHERE = {
    "podferry dev": "tests/acceptance/test_dev.py",
    "podferry worker ": "ops/lab/fleet.py",
    "podferry flower": "tests/integration/test_flower.py",
    "podferry heal ": "tests/integration/test_heal.py",  # wants a dead host
    "uv pip install": "ops/setup/python.sh",
    "export ": "ops/lab/fleet.py",  # settings of the lab's own
    "make ": ".ci/run",
}
# Pages without a command to type, or written by what tries it.
OTHERS = {
    "CONTRIBUTING.md": "Makefile",
    "lab.md": "tests/acceptance/test_documents.py",
    "architecture.md": "tests/unit/tasks/model/test_model.py",
    "archives.md": "tests/unit/storage/test_document.py",
    "archives-incremental.md": "tests/unit/storage/test_document.py",
    "bench.md": "tests/unit/bench/test_report.py",
    "chaos.md": "tests/integration/test_chaos.py",
    "cli.md": "tests/acceptance/test_site.py",
    "fidelity.md": "tests/integration/test_fidelity.py",
    "install.md": "tests/integration/test_compose.py",  # types them
    "glossary.md": "tests/acceptance/test_site.py",
    "many.md": "tests/integration/test_many.py",
    "security.md": "tests/unit/tasks/test_acl.py",
    "soak.md": "tests/integration/test_soak.py",
    "storage.md": "tests/integration/test_s3_settings.py",
    "threats.md": "tests/unit/test_threats.py",
    "upkeep.md": "tests/integration/test_upkeep.py",
    "CHANGELOG.md": "tests/acceptance/test_cli.py",
}


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


def at_home(fleet: Lab) -> None:
    """Bring `web` to a, if it is not there, and let all hosts take workloads."""
    for status in asked(fleet, "hosts"):
        if status["cordon"]:
            typed(fleet, f"podferry uncordon {status['host']}")
    [on_a] = [found["containers"] for found in asked(fleet, "ps") if found["host"] == "a"]
    if not any(line["name"] == "web" for line in on_a):
        typed(fleet, "podferry migrate web --to a")


def asked(fleet: Lab, what: str) -> list[dict[str, Any]]:
    words = fleet.command("exec", "hub", "--", str(PODFERRY), what, "-o", "json")
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def page(name: str) -> Path:
    return ROOT / name if (ROOT / name).exists() else ROOT / "docs" / name


@pytest.mark.parametrize("name", TYPED)
def test_a_document_works_as_it_stands(fleet: Lab, name: str) -> None:
    at_home(fleet)
    for language, block in every_block(page(name)):
        if language == "python":
            run(fleet, f"the example in {name}", [str(PYTHON), "-c", block])
        for line in shown(block) if language == "console" else ():
            if not line.startswith(tuple(ELSEWHERE)):
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
    documents = {path.name for path in (*ROOT.glob("*.md"), *Path(ROOT / "docs").glob("*.md"))}
    assert documents - {"bench.md"} == {*TYPED, *OTHERS} - {"bench.md"}  # make bench writes it


def test_what_is_not_typed_is_tried_elsewhere() -> None:
    tries = {*ELSEWHERE.values(), *OTHERS.values()}
    assert not [path for path in tries if not (ROOT / path).exists()]
    lines = [line for name in TYPED for line in commands(page(name))]
    assert not [start for start in ELSEWHERE if not any(line.startswith(start) for line in lines)]
    for name in OTHERS:
        left = commands(page(name)) if page(name).exists() else []
        typed_there = name in {"CONTRIBUTING.md", "lab.md", "install.md", "upkeep.md"}
        assert typed_there or not left, "its commands are not typed"
