"""Measure whole migrations, each beside the script that a user would write instead.

Exit code: 0; 1 when a worker took more memory than it may; 2 when it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.report import show
from tests.bench.suite import Plan, run

SIZES = (64, 1024)
SHORT = Plan(sizes={64: 1}, memory_sizes=(256,))
LARGE_MIB = 1024  # from here on the workers' memory is watched, and two runs do
WIDTH = 100


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the lab is taken down
    try:
        report = run(SHORT if arguments.short else _plan(arguments.sizes, arguments.runs))
    except (AssertionError, pytest.skip.Exception, pytest.fail.Exception) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    show(report, Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH))
    print(f"\nReport: {arguments.output}")
    return 0 if report["memory"]["holds"] else 1


def _plan(sizes: tuple[int, ...], runs: int | None) -> Plan:
    large = tuple(size for size in sizes if size >= LARGE_MIB)
    return Plan(
        sizes={size: runs or (2 if size >= LARGE_MIB else 3) for size in sizes},
        memory_sizes=large or (max(sizes),),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--sizes", type=_sizes, default=SIZES, metavar="MIB,…", help="memory (default: 64,1024)"
    )
    parser.add_argument(
        "--runs", type=_positive, metavar="N", help="of each (default: 3, from 1024 MiB on 2)"
    )
    parser.add_argument("--short", action="store_true", help="one run of 64 MiB, memory at 256")
    parser.add_argument("--output", type=Path, default=Path(".lab-bench/bench.json"))
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({_positive(size) for size in text.split(",")}))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
