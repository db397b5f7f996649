"""The process of many fake hosts."""

from __future__ import annotations

import sys

from tests.soak.fleet import main

if __name__ == "__main__":
    sys.exit(main())
