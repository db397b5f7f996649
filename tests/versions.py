"""Another version of Podferry beside this one, on this environment's libraries.

The version of tomorrow is this one with more in its records; those of yesterday are
the wheels of releases in tests/golden.
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from pathlib import Path

from tests.golden.files import SETS
from tests.lab import ROOT

PACKAGES = ("podferry", "workers", "tasks", "storage", "runtime")
TOMORROW = "99.0.0"
ADDED = "added_tomorrow"
# Records of each kind that is stored, by the module that has them.
RECORDS = {
    "tasks/models.py": ("Step", "Options", "Workflow", "Event", "Inventory", "WorkerInfo"),
    "tasks/hosts.py": ("HostReport",),
    "tasks/statements.py": ("Statement",),
    "tasks/facts.py": ("MemberFacts", "SourceFacts", "TargetCheck"),
    "tasks/drains/models.py": ("Item", "Drain"),
    "runtime/preflight/facts.py": ("HostFacts", "Canary", "Room", "ContainerFacts"),
    "storage/manifest.py": ("Archive", "ImageRef", "CheckpointDraft"),
    "storage/header.py": ("Header",),
}
# A statement is written without what it does not speak of: where it is made, it speaks of it.
SAID = {"tasks/records.py": "Statement(version=1, "}
START = """import sys
from podferry.cli import main
sys.exit(main())
"""


def others() -> dict[str, Path | None]:
    """Other versions by name, with their wheels; that of tomorrow has none."""
    wheels = {f"release-{path.parent.name}": path for path in SETS.glob("*/*.whl")}
    return {"tomorrow": None, **wheels}


def install(wheel: Path | None, place: Path) -> None:
    """Put a version into a directory of its own, with ``start.py`` to start it."""
    if wheel is None:
        _make_tomorrow(place)
    else:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(place)  # a wheel of our own
    (place / "start.py").write_text(START)


def program(place: Path, nodes: Path) -> Path:
    """A command that is the other version on the nodes that a file lists, else this one."""
    made = place / "podferry-there"
    python, here = sys.executable, Path(sys.executable).with_name("podferry")
    made.write_text(f"""#!/bin/sh
if grep -qx "${{PODFERRY_HOST:-hub}}" {nodes}; then exec {python} {place}/start.py "$@"; fi
exec {here} "$@"
""")
    made.chmod(0o755)
    return made


def _make_tomorrow(place: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("*.pyc"))
    for module, records in RECORDS.items():
        source = place / module
        text = source.read_text()
        for record in records:
            opening = re.compile(rf'(class {record}\(\w+\):\n    """.*?"""\n)', re.DOTALL)
            text, count = opening.subn(rf'\g<1>\n    {ADDED}: str = "yes"\n', text, count=1)
            assert count == 1, f"{module} has no {record}"
        source.write_text(text)
    for module, made in SAID.items():
        source = place / module
        text = source.read_text()
        assert text.count(made) == 1, f"{module} does not make one {made}…)"
        source.write_text(text.replace(made, f'{made}{ADDED}="yes", '))
    told = place / f"podferry-{TOMORROW}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: podferry\nVersion: {TOMORROW}\n")
