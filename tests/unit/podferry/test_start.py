"""What takes long to import is imported by what needs it only."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import runtime

ENGINES = {"docker", "pyroute2", "requests", "urllib3"}
STORES = {"boto3", "botocore"}
WORKERS = {"celery", "kombu", "structlog", "tenacity"}

PROGRAM = """
import json, sys
{program}
print(json.dumps(sorted(sys.modules)))
"""


def imported(program: str) -> set[str]:
    """The modules that a fresh interpreter has after it ran a program."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(program=program)],
        capture_output=True,
        check=True,
        text=True,
    )
    return set(json.loads(done.stdout))


def test_a_command_needs_no_engine_no_store_no_queue() -> None:
    assert not imported("import podferry.cli") & (ENGINES | STORES | WORKERS | {"rich"})


def test_engines_are_there_when_they_are_asked_for() -> None:
    assert imported("from runtime import PodmanRuntime") >= {"docker", "pyroute2"}


def test_runtime_has_what_it_names_and_nothing_else() -> None:
    assert all(hasattr(runtime, name) for name in runtime.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Podmen'"):
        getattr(runtime, "Podmen")  # noqa: B009 - mypy knows that it is not there
