"""Write the golden files of the version at hand."""

from __future__ import annotations

import sys
from importlib.metadata import version

from tests.golden.files import SETS
from tests.golden.writing import write

if __name__ == "__main__":
    place = SETS / version("podferry")
    if place.exists():
        sys.exit(f"{place} is there: what a release wrote stays as it is")
    write(place)
    print(place)
