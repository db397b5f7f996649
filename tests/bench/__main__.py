"""Measure Podferry beside what a user would type instead.

Exit code: 0 measured; 1 a promise that depends on no machine (bytes, memory) does not hold; 2 it
could not be measured. Promises about time are shown, and judged by who reads them.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import pytest
from rich.console import Console

from tests.bench.claims import claims
from tests.bench.plot import draw
from tests.bench.records import Report
from tests.bench.report import document, show
from tests.bench.suite import SECTIONS, Plan, run

SIZES = (64, 1024, 4096)
LARGE_MIB = 1024
WIDTH = 110
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OUTPUT = Path(".lab-bench/bench.json")
DOCS = Path("docs")


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args()
    if arguments.write_docs:
        return _write_docs(Report.model_validate_json(arguments.output.read_text()))
    for number in ENDING:
        signal.signal(number, _end)
    try:
        report = run(_plan(arguments))
    except (AssertionError, pytest.skip.Exception, pytest.fail.Exception) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(report.model_dump_json(indent=2) + "\n")
    show(report, Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH))
    print(f"\nReport: {arguments.output}")
    return int(any(not claim.holds for claim in claims(report) if not claim.timed))


def _end(number: int, frame: FrameType | None) -> None:
    """Unwind, which takes the lab down; from here on nothing interrupts that."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _write_docs(report: Report) -> int:
    (DOCS / "bench.md").write_text(document(report))
    (DOCS / "bench.svg").write_text(draw(report))
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    sections = frozenset(arguments.only)
    if arguments.short:
        return Plan(
            sections=sections,
            sizes={64: 1},
            memory_sizes=(256,),
            incremental_mib=64,
            incremental_runs=1,
            preseed_mib=64,
            preseed_runs=1,
            drained=0,
            noticed=0,
        )
    sizes: tuple[int, ...] = arguments.sizes
    large = tuple(size for size in sizes if size >= LARGE_MIB)
    middle = LARGE_MIB if LARGE_MIB in sizes else max(sizes)
    return Plan(
        sections=sections,
        sizes={size: arguments.runs or _runs(size) for size in sizes},
        memory_sizes=large or (max(sizes),),
        incremental_mib=middle,
        incremental_runs=arguments.runs or 2,
        preseed_mib=middle,
        preseed_runs=arguments.runs or 2,
        drained=24,
        noticed=8,
    )


def _runs(mib: int) -> int:
    return 5 if mib < LARGE_MIB else 3 if mib == LARGE_MIB else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--only", type=_sections, default=SECTIONS, metavar="SECTION,…", help=",".join(SECTIONS))
    add("--sizes", type=_sizes, default=SIZES, metavar="MIB,…", help="default: 64,1024,4096")
    add("--runs", type=_positive, metavar="N", help="of each; default: 5, from 1 GiB on 3, then 2")
    add("--short", action="store_true", help="one run of 64 MiB of each, memory at 256")
    add("--output", type=Path, default=OUTPUT, help=f"the report, in JSON ({OUTPUT})")
    add("--write-docs", action="store_true", help="measure nothing: from the report to docs/")
    return parser


def _sections(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(sorted(unknown))}")
    return names


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({_positive(size) for size in text.split(",")}))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
