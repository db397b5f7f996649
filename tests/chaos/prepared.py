"""A fleet whose workers know breakpoints."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.chaos.accidents import LEASE_SECONDS
from tests.fleet import HOSTS, Fleet
from tests.lab import lab

WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def fleet_with_breakpoints() -> Iterator[tuple[Fleet, Path]]:
    """Two hosts with short leases, and the directory that their breakpoints are armed in."""
    with tempfile.TemporaryDirectory(prefix="pf-chaos-", dir="/tmp") as name:
        settings = {
            "CHAOS_DIR": name,
            "PODFERRY_LEASE_SECONDS": str(LEASE_SECONDS),
            "PODFERRY_RETENTION_GRACE": "1s",
        }
        with patch.dict("os.environ", settings), lab(HOSTS, minio="yes") as made:
            fleet = Fleet(made, program=(sys.executable, str(WORKER)))
            try:
                fleet.start()
                yield fleet, Path(name)
            finally:
                fleet.close()
