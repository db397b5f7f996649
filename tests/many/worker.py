"""A worker as the product runs it, but for its engine: settings come from the environment.

Without a host it is a control worker.
"""

from __future__ import annotations

import sys

from tests.many.remote import remote_engine
from workers.settings import load_settings
from workers.worker import run_worker


def main() -> int:
    """Run it; return the exit code."""
    settings = load_settings()
    return run_worker(settings, control=settings.host is None, engine=remote_engine)


if __name__ == "__main__":
    sys.exit(main())
