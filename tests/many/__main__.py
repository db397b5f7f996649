"""Move many containers while workers are killed, and write docs/many.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.many.installation import installation
from tests.many.report import lines
from tests.many.storm import Plan, Storm, judge

HOSTS = "abcdefgh"
CONTROLS = 2
DOCUMENT = Path("docs/many.md")


def storm(plan: Plan) -> str:
    """Run it, judge it, and return the document that tells of it."""
    print(f"seed {plan.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True) as name,
        installation(Path(name), HOSTS, controls=CONTROLS) as made,
    ):
        run = Storm(plan=plan, installation=made)
        run.run()
        judge(run)
        return "\n".join(lines(run)) + "\n"


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.many", description=__doc__)
    parser.add_argument("--seed", type=int, help="of an earlier run, to kill the same again")
    seed = parser.parse_args().seed
    document = storm(Plan() if seed is None else Plan(seed=seed))
    DOCUMENT.write_text(document)
    print(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
