"""Drain many fake hosts, and write docs/soak.md and docs/soak.svg."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.soak.plot import draw
from tests.soak.records import Report, Soak
from tests.soak.report import document, table
from tests.soak.simulation import Plan, soak

HOSTS = (20, 100, 300, 1000)
WORKLOADS_PER_HOST = 20
HOSTS_PER_DRAIN = 10
OUTPUT = Path(".lab-soak")
DOCS = Path("docs")


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args()
    OUTPUT.mkdir(exist_ok=True)
    if arguments.hosts:
        measured = [_measured(_plan(arguments.hosts, arguments.workloads, arguments.drain))]
    elif arguments.write_docs:
        measured = [Soak.model_validate_json(f.read_text()) for f in OUTPUT.glob("*.json")]
    else:
        measured = [_measured(_plan(hosts)) for hosts in HOSTS]
    report = Report(soaks=tuple(sorted(measured, key=lambda s: s.hosts)))
    if not arguments.hosts:
        (DOCS / "soak.md").write_text(document(report))
        (DOCS / "soak.svg").write_text(draw(report))
    print("\n".join(table(report)))
    return 0


def _measured(plan: Plan) -> Soak:
    found = soak(plan)
    (OUTPUT / f"{plan.hosts}.json").write_text(found.model_dump_json(indent=2) + "\n")
    return found


def _plan(hosts: int, workloads: int | None = None, drained: int | None = None) -> Plan:
    return Plan(
        hosts=hosts,
        workloads=workloads or hosts * WORKLOADS_PER_HOST,
        drained=drained or max(1, hosts // HOSTS_PER_DRAIN),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hosts", type=int, help="one size only, which writes no document")
    parser.add_argument("--workloads", type=int, help="on all of them; else 20 on each")
    parser.add_argument("--drain", type=int, help="how many at once; else every tenth")
    parser.add_argument("--write-docs", action="store_true", help="of what was measured last")
    return parser


if __name__ == "__main__":
    sys.exit(main())
