from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tasks.errors import FenceFailedError
from tasks.fencing import fence


def command(tmp_path: Path, program: str) -> str:
    """A fence command that runs a Python program."""
    script = tmp_path / "a fence.py"
    script.write_text(program)
    return f"{sys.executable} '{script}' --off"


def test_the_host_is_the_last_argument_and_exit_code_0_says_that_it_is_off(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"import sys; open({str(told)!r}, 'w').write(' '.join(sys.argv[1:]))"
    fence("a", command(tmp_path, program), timeout_seconds=30)
    assert told.read_text() == "--off a"


def test_any_other_exit_code_does_not(tmp_path: Path) -> None:
    program = "import sys; sys.exit('the switch does not answer')"
    with pytest.raises(FenceFailedError, match="code 1: the switch does not answer"):
        fence("a", command(tmp_path, program), timeout_seconds=30)


def test_neither_does_one_that_does_not_end(tmp_path: Path) -> None:
    program = "import time; time.sleep(600)"
    with pytest.raises(FenceFailedError, match="did not end within"):
        fence("a", command(tmp_path, program), timeout_seconds=0.2)


@pytest.mark.parametrize("words", ["/nonexistent/fence", "'unbalanced", ""])
def test_nor_one_that_cannot_be_run(words: str) -> None:
    with pytest.raises(FenceFailedError, match="nothing was healed"):
        fence("a", words, timeout_seconds=1)
