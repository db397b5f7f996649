"""Run the lab's and Podferry's own commands, as a person would."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPS = Path(__file__).resolve().parents[1]
PODFERRY = Path(sys.executable).with_name("podferry")
CRIU = "/usr/sbin/criu"


class DemoError(Exception):
    """The demo did not show what it promises."""


@dataclass(frozen=True)
class Lab:
    """The lab in a directory."""

    directory: Path

    @property
    def uses_minio(self) -> bool:
        """Whether archives go to MinIO; else to a directory of the lab."""
        facts = json.loads((self.directory / "lab.json").read_text())
        return facts["hub"]["minio"] is not None

    def socket(self, host: str) -> str:
        """Path of a host's Podman socket."""
        return str(self.directory / "hosts" / host / "podman.sock")

    def up(self, store: str) -> None:
        """Bring up hosts a and b, the hub, and the workers; nothing that runs is disturbed."""
        minio = {"auto": "auto", "minio": "yes", "local": "no"}[store]
        self._run("up", "--hosts", "a,b", "--minio", minio)
        self._run("workers", "restart")
        # A demo that was killed in its second act leaves CRIU put away.
        for host in ("a", "b"):
            self._run("enter", host, "--", "sh", "-c", f"[ -e {CRIU} ] || mv {CRIU}.away {CRIU}")

    def context(self) -> str:
        """Make the build context of the counting program's image; return its path."""
        path = self.directory / "context"
        done = subprocess.run(
            [str(OPS / "lab" / "images" / "context.sh"), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(done.stderr.strip())
        return os.path.relpath(path)

    def podferry(self, *words: str, expect: int = 0, quiet: bool = False) -> dict[str, Any]:
        """Type a podferry command in the hub's network; return the workflow it ends with.

        ``quiet`` shows its progress only when it fails.
        """
        print(f"$ podferry {shlex.join(words)}", flush=True)
        command = self._command("exec", "hub", "--", str(PODFERRY), *words, "-o", "json")
        progress = subprocess.PIPE if quiet else None
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=progress, text=True
        )
        if done.returncode != expect and done.stderr:
            print(done.stderr, file=sys.stderr)
        if done.returncode != expect:
            raise DemoError(f"podferry {words[0]} ended with exit code {done.returncode}")
        workflow: dict[str, Any] = json.loads(done.stdout)
        return workflow

    @contextmanager
    def without_criu(self, host: str) -> Iterator[None]:
        """A host whose CRIU is gone."""
        self._run("enter", host, "--", "mv", CRIU, f"{CRIU}.away")
        try:
            yield
        finally:
            self._run("enter", host, "--", "mv", f"{CRIU}.away", CRIU)

    def _command(self, verb: str, *words: str) -> list[str]:
        return [sys.executable, str(OPS / "lab"), verb, "--dir", str(self.directory), *words]

    def _run(self, verb: str, *words: str) -> None:
        done = subprocess.run(
            self._command(verb, *words), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DemoError((done.stderr or done.stdout).strip())
