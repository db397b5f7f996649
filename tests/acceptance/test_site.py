"""The documents as a site, the reference of the command line, and what Tab completes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.reference import PAGE, reference
from tests.lab import ROOT

PODFERRY = Path(sys.executable).with_name("podferry")
LOADED = re.compile(r"""(?:src=|<link[^>]*href=|url\()["']?(?:https?:)?//""")


def test_the_reference_is_that_of_the_commands() -> None:
    assert PAGE.read_text() == reference(), "write it anew: make docs-cli"


def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    pages = [*tmp_path.rglob("*.html")]
    assert len(pages) > 10
    for page in (*pages, *tmp_path.rglob("*.css")):
        assert not LOADED.search(page.read_text()), page


def test_tab_completes_in_bash() -> None:
    script = """
        source <(podferry --show-completion)
        COMP_WORDS=(podferry mig) COMP_CWORD=1
        _podferry_completion podferry
        echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{PODFERRY.parent}:{os.environ['PATH']}"}
    words = ["bash", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "migrate\n", done.stderr


def test_completion_is_installed_for_the_next_shell(tmp_path: Path) -> None:
    script = """
        podferry --install-completion >/dev/null
        bash -i -c 'source ~/.bashrc; complete -p podferry' 2>/dev/null
    """
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{PODFERRY.parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert "_podferry_completion podferry" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("step", "said"), [("source", "#compdef podferry"), ("complete", "uncordon")]
)
def test_zsh_is_told_what_to_complete(step: str, said: str) -> None:
    asked = {"_PODFERRY_COMPLETE": f"{step}_zsh", "_TYPER_COMPLETE_ARGS": "podferry unc"}
    done = subprocess.run(
        [str(PODFERRY)], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    assert said in done.stdout, done.stderr
