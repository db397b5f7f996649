"""docker-compose.yml as docs/install.md says: it comes up, moves containers, and may restart."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from podferry import Outcome, Workflow
from tests.acceptance.console import commands
from tests.fleet import Workload, eventually
from tests.lab import ROOT
from tests.stack import CHECKING, DOCUMENT, HUB, Stack, setup, stack

pytestmark = pytest.mark.integration

RESTARTED = ("redis", "minio", "control", "flower", "proxy", "prometheus")
SLOWLY = "PODFERRY_BWLIMIT=10M"  # so that a move of 64 MiB is under way for some seconds
READ = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=30).read().decode())
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Stack]:
    with stack() as made:
        yield made


@pytest.fixture(scope="module")
def web(fleet: Stack) -> Workload:
    """The container of the document, on host a."""
    made = Workload(fleet, "web")
    made.name = "web"
    made.start(made.spec(memory_mib=64))
    return made


def test_the_first_check_is_as_the_document_says(fleet: Stack, web: Workload) -> None:
    before = web.counting("a")
    eventually(lambda: "web" in fleet.run("ps").stdout or None, "web is not told of")
    lines = [line for line in commands(DOCUMENT) if line.startswith(CHECKING)]
    assert len(lines) == 4
    for line in lines:
        fleet.type(line)
    assert before.lives_on_in(web.counting("b"))
