"""Typing commands as a person does."""

from __future__ import annotations

import os
import sys

import pytest

from podferry.cli.main import main
from tests.acceptance.typing_in import Done, Run

BASE = {"XDG_STATE_HOME": "/nonexistent", "PODFERRY_ENVIRONMENT": "dev"}


@pytest.fixture
def podferry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command in an environment that holds only what the test gives."""

    def run(*words: str, **environment: str) -> Done:
        for name in [n for n in os.environ if n.startswith("PODFERRY_")]:
            monkeypatch.delenv(name)
        for name, value in {**BASE, **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["podferry", *words])
        with pytest.raises(SystemExit) as left:
            main()
        output = capsys.readouterr()
        code = left.value.code
        return Done(code if isinstance(code, int) else 0, output.out, output.err)

    return run
