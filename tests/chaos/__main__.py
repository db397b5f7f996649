"""Try the whole matrix, or a part of it, and write what came of it.

usage: python -m tests.chaos [--only WORD] [--output FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.chaos.prepared import fleet_with_breakpoints
from tests.chaos.rows import all_rows
from tests.chaos.table import table
from tests.chaos.trial import Trial, tried

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "chaos.md"


def main() -> int:
    """Run the command line; exit code 1 when a row is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose names hold this")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    rows = [row for row in all_rows() if arguments.only in row.name]
    trials: list[Trial] = []
    with fleet_with_breakpoints() as (fleet, directory):
        for number, row in enumerate(rows, 1):
            trial = tried(fleet, row, directory)
            trials.append(trial)
            verdict = "; ".join(trial.wrong) or "as promised"
            print(f"{number}/{len(rows)}  {row.name}: {trial.outcome}, {verdict}", flush=True)
    if not arguments.only:
        arguments.output.write_text(table(trials))
    return 1 if any(trial.wrong for trial in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
