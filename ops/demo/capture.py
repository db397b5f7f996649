"""Turn a terminal's output on standard input into a picture: ``make demo-picture`` uses it."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100


def main() -> None:
    """Read colours and text, write the SVG that the command line names."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for line in sys.stdin.read().replace("\r", "").splitlines():
        console.print(Text.from_ansi(line), soft_wrap=False)
    picture = console.export_svg(title="make demo")
    # The fonts that the picture would load from elsewhere: the viewer's monospace font will do.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    picture = re.sub(r"font-family: Fira Code", "font-family: monospace", picture)
    picture = re.sub(r"<!--.*?-->", "", picture)
    Path(sys.argv[1]).write_text(picture)


if __name__ == "__main__":
    main()
