"""The command line."""

from podferry.cli.main import main

__all__ = ["main"]
