"""The distributions that requirements.lock pins: known vulnerabilities, and a bill of materials.

``audit`` asks PyPI's advisories through pip-audit. A vulnerability that ignored.toml does not
explain fails it. Where nobody can be asked it says that nothing was audited, and does not fail.
``sbom`` writes the list of all of them as CycloneDX JSON, the same bytes for the same lock.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from pydantic import BaseModel, Field

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
AUDIT_SECONDS = 60
# What pip-audit ends with where its service cannot be had; all else is a failure of its own.
UNREACHED = re.compile(
    r"requests\.exceptions\.|ServiceError|Could not connect|not redirecting properly"
)


class AuditError(Exception):
    """Something that must not pass; the text is for a person."""


class NotAuditedError(Exception):
    """Nobody could be asked; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Vulnerability:
    """What is known of one pinned distribution."""

    package: str
    version: str
    names: frozenset[str]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """One line for a person."""
        cure = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed anywhere yet"
        return f"{self.package} {self.version}: {', '.join(sorted(self.names))}; {cure}"


class Ignored(BaseModel, frozen=True, extra="forbid"):
    """An entry of ignored.toml: why a vulnerability does not concern us, and until when."""

    id: str = Field(min_length=1)
    package: str = Field(min_length=1)
    since: date
    until: date
    reason: str = Field(min_length=1)


def main(words: Sequence[str] | None = None) -> int:
    """Do as asked; return the exit code."""
    parser = argparse.ArgumentParser(prog="dependencies", description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    verbs = parser.add_subparsers(dest="verb", required=True)
    audit = verbs.add_parser("audit", help="fail where a pinned distribution is known vulnerable")
    audit.add_argument("--osv-url", help="ask this OSV server, in the place of PyPI")
    audit.add_argument("--ignored", type=Path, default=HERE / "ignored.toml")
    sbom = verbs.add_parser("sbom", help="write the bill of materials")
    sbom.add_argument("file", type=Path)
    arguments = parser.parse_args(words)
    pins = dict(pinned(arguments.lock))
    try:
        if arguments.verb == "sbom":
            print(write_sbom(arguments.lock, pins, arguments.file))
        else:
            service = ["-s", "osv", "--osv-url", arguments.osv_url] if arguments.osv_url else []
            answer = asked(arguments.lock, service)
            print(judged(answer, ignored(arguments.ignored), datetime.now(UTC).date()))
    except NotAuditedError as error:
        print(f"audit: NOT AUDITED, nothing is known of {len(pins)} distributions: {error}")
    except AuditError as error:
        print(f"{arguments.verb}: {error}", file=sys.stderr)
        return 1
    return 0


def pinned(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of every distribution in a lock."""
    for line in lock.read_text().splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\"))
            (version,) = requirement.specifier
            yield requirement.name, version.version


def ignored(path: Path) -> list[Ignored]:
    """The entries of ignored.toml; each must have all of its fields."""
    try:
        entries = tomllib.loads(path.read_text()).get("ignored", [])
        return [Ignored(**entry) for entry in entries]
    except (ValueError, TypeError) as error:
        raise AuditError(f"{path.name}: {error}") from error


def asked(lock: Path, service: Sequence[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each distribution.

    Raises:
        NotAuditedError: Its service cannot be reached, or knows none of them.
    """
    words = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", *service]
    words += ["-r", str(lock), "--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NotAuditedError(f"no answer within {AUDIT_SECONDS} s") from error
    if not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:]
        if UNREACHED.search(done.stderr):
            raise NotAuditedError(f"the advisories cannot be reached ({' '.join(last)[:200]})")
        raise AuditError(f"pip-audit failed: {done.stderr}")
    answer: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    if not any("vulns" in found for found in answer):
        # a mirror that serves distributions, but nothing of what is known about them
        raise NotAuditedError("the package index in reach has no advisories")
    return answer


def judged(answer: Sequence[dict[str, Any]], known: Sequence[Ignored], today: date) -> str:
    """What to say of an answer that may pass.

    Raises:
        AuditError: A vulnerability is not ignored, or no longer.
    """
    found = [
        Vulnerability(
            package=line["name"],
            version=line["version"],
            names=frozenset([about["id"], *about["aliases"]]),
            fixed_in=tuple(about["fix_versions"]),
        )
        for line in answer
        for about in line.get("vulns", ())
    ]
    left = [
        v for v in found if not any(_covers(entry, v) and today <= entry.until for entry in known)
    ]
    if left:
        next_step = (
            "Pin another version (make lock), or say why not in ops/dependencies/ignored.toml"
        )
        raise AuditError("\n  ".join(["known vulnerabilities", *map(str, left)]) + f"\n{next_step}")
    idle = [entry.id for entry in known if not any(_covers(entry, v) for v in found)]
    unknown = [line["name"] for line in answer if "vulns" not in line]
    said = [f"audit: {len(answer) - len(unknown)} distributions, no known vulnerability"]
    said += [f"ignored: {vulnerability}" for vulnerability in found]
    said += [f"not found, so not audited: {', '.join(unknown)}"] if unknown else []
    said += [f"ignored.toml names what is not found any more: {', '.join(idle)}"] if idle else []
    return "\n  ".join(said)


def _covers(entry: Ignored, vulnerability: Vulnerability) -> bool:
    return entry.package == vulnerability.package and entry.id in vulnerability.names


def write_sbom(lock: Path, pins: dict[str, str], file: Path) -> str:
    """Write the bill of materials; return what to say of it.

    Raises:
        AuditError: It could not be made, or lacks what the lock pins.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "cyclonedx_py", "requirements", str(lock)]
    words += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
    # by its own schema takes ten times as long; that all is in it is looked at below
    words += ["--no-validate", "--output-file", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AuditError(f"cyclonedx-py failed: {done.stderr}")
    components = json.loads(file.read_text())["components"]
    listed = {component["name"]: component["version"] for component in components}
    if listed != pins:
        differing = sorted({name for name, _ in listed.items() ^ pins.items()})
        raise AuditError(f"{file} differs from {lock.name}: {', '.join(differing)}")
    return f"sbom: {len(listed)} distributions in {file}"


if __name__ == "__main__":
    raise SystemExit(main())
