"""docs/cli.md, written from the commands themselves; ``make docs-cli`` runs this."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.lab import ROOT

PAGE = ROOT / "docs" / "cli.md"
TYPER = ("-m", "typer", "podferry.cli.main", "utils", "docs", "--name", "podferry")
USAGE = re.compile(r"```console\n\$ (.*)\n```")
COMPLETION = """
Tab completes commands and options once you have typed `podferry --install-completion` in your shell
(bash, zsh, fish) and begun a new one. It adds to the shell's own files what
`podferry --show-completion` prints.

"""


def reference() -> str:
    """The page as it should be. A usage line is no command to type, and is marked as none."""
    made = subprocess.run([sys.executable, *TYPER], capture_output=True, text=True, check=True)
    body = USAGE.sub(r"```text\n\1\n```", made.stdout)
    head, options, rest = body.partition("\n**Options**:\n")
    title = head.replace("# `podferry`", "# Command line", 1)
    return f"{title}{COMPLETION}{options}{rest}"


if __name__ == "__main__":
    PAGE.write_text(reference())
